"""Which signals a run listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.throttling.galera import GaleraNode
from cellmap_migrations.throttling.lag import ReplicaLag
from cellmap_migrations.throttling.pause_file import PauseFile
from cellmap_migrations.throttling.threads import RunningThreads

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.throttling.signal import Signal


def signals(settings: Settings, api: Database) -> list[Signal]:
    """Return the signals that the settings, or the server, ask for."""
    chosen: list[Signal] = []
    if settings.pause_file:
        chosen.append(PauseFile(settings.pause_file))
    if settings.max_threads_running is not None:
        chosen.append(RunningThreads(api, settings.max_threads_running))
    if settings.max_lag is not None:
        # Each by itself: one that is behind must not hide another that is none.
        chosen.extend(ReplicaLag(settings, api, name) for name in settings.replicas)
    if GaleraNode.found(api):
        chosen.append(GaleraNode(api))
    return chosen
