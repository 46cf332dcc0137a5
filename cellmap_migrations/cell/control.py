"""Apply the requests of operators to a run that is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.requests import InForce, read_later
from cellmap_migrations.bookkeeping.tables import control
from cellmap_migrations.cell.signals import Signal
from cellmap_migrations.common.stderr import say
from cellmap_migrations.databases.database import as_cellmap_error
from cellmap_migrations.nova.tables import utcnow

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cellmap_migrations.bookkeeping.requests import Request
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


class Control(Signal):
    """Ask for a pause while an operator does, and hold the settings of the moment.

    ``settings`` are the *own* settings of the run with the options that operators have
    set. ``pause`` is the pause that the run is in, or None.
    """

    option = "pause"

    def __init__(
        self,
        api: Database,
        mapping: CellMapping,
        own: Settings,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self.api, self.mapping, self.own, self.now = api, mapping, own, now
        self.settings = own
        self.in_force = InForce()
        self.pause: Request | None = None
        # The first look of the first run comes before the table.
        self.has_table = False

    def pause_reason(self) -> str | None:
        """Return who requested a pause, and why, or None.

        Raises the errors of ``look``.
        """
        self.look()
        before, self.pause = self.pause, self.in_force.pause_at(self.now())
        if self.pause:
            return str(self.pause)
        if before and before == self.in_force.pause:
            say(
                f"cell {self.mapping}: the pause {before} ended by itself after "
                f"{before.value} s (max_pause); the run goes on"
            )
        return None

    def look(self) -> None:
        """Read the requests that were added since the last look.

        After a transient error nothing changes: the next batch meets that error, too,
        and is retried. Raises the errors of ``as_cellmap_error`` after any other.
        """
        try:
            in_force = self.read()
        except self.api.errors as error:
            if not self.api.is_transient(error):
                raise as_cellmap_error(error, self.api) from error
            return
        if in_force.options != self.in_force.options:
            self.apply(in_force)
        self.in_force = in_force

    def read(self) -> InForce:
        """Return the requests in force; do not retry."""
        self.has_table = self.has_table or self.api.has_table_once(control.name)
        if not self.has_table:
            return self.in_force
        return read_later(self.api, self.mapping.uuid, self.in_force)

    def apply(self, in_force: InForce) -> None:
        """Change the settings to those of *in_force*, and say which ones changed."""
        self.settings, unusable = in_force.settings(self.own)
        before, after = self.in_force.options, in_force.options
        for name in sorted(before.keys() | after.keys()):
            request = after.get(name)
            if request == before.get(name):
                continue
            if request is None:
                change = f"{name} is {getattr(self.own, name)} again"
            elif name in unusable:
                change = f"{unusable[name]} ({request})"
            else:
                change = f"{name}={request.value}, {request}"
            say(f"cell {self.mapping}: {change}")
