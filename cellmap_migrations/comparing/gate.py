"""Let a comparison pause between two statements, as a walk does between two batches."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell


class Gate:
    """Hold the statements of a comparison back while the run pauses.

    No transaction is open between two of them. With *threads* they are executed by
    threads, and the caller's thread must call ``watch`` meanwhile. A run that only
    reads, such as ``check``, has no throttle and does not pause.
    """

    def __init__(self, cell: Cell, *, threads: bool = False) -> None:
        self.cell, self.threads = cell, threads
        self.opened = Event()
        self.opened.set()

    def check(self) -> None:
        """Return when the next statement may be executed; raise Stopped at a signal."""
        if self.threads:
            self.opened.wait()
        else:
            self.watch()
        self.cell.stopping.check()

    def watch(self) -> None:
        """Pause if there is a reason, and use the version's connection.

        Raises PausedTooLong, or Stopped.
        """
        self.cell.keep_alive()
        if self.cell.settings.read_only:
            return
        try:
            self.cell.throttle.pause_comparison(self.opened.clear)
        finally:
            # After an error a thread must not wait for ever.
            self.opened.set()
