"""``max_threads_running``: the load of the API database's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.throttling.asking import ask
from cellmap_migrations.throttling.signal import Signal

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database


class RunningThreads(Signal):
    """Asks for a pause while too many sessions of the server are at work."""

    option = "max_threads_running"

    def __init__(self, api: Database, most: int) -> None:
        self.api, self.most = api, most

    def reason(self) -> str | None:
        """Say how many are running, the one that asks included, if it is too many."""
        running = ask(self.api, self.api.backend.status.running)
        if running <= self.most:
            return None
        return f"{running} threads are running on the API server (max {self.most})"
