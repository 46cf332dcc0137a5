"""Record in ``cellmap_control`` what operators request of runs, and read it.

The table is a log: each request is a row, and no row is changed or deleted. The last
request of a kind is in force. A run reads the table between two batches.
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import control
from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.config.options import parse, validate
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.database import Changed, as_cellmap_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


PAUSE, RESUME, SET = "pause", "resume", "set"

# The value with which a SET takes back the last one.
DEFAULT = "default"

# Characters of a text in the table.
WIDTH = 255


@dataclass(frozen=True, kw_only=True)
class Request:
    """Hold one request of an operator; the time is UTC, in whole seconds.

    A PAUSE has its seconds in *value*. A SET has the *name* of an option, and in
    *value* the text of its value, or DEFAULT.
    """

    action: str
    name: str = ""
    value: str = ""
    requested_at: datetime
    requested_by: str
    why: str

    def __str__(self) -> str:
        return f"requested by {self.requested_by}" + (self.why and f": {self.why}")

    @property
    def until(self) -> datetime:
        """Return the time at which this PAUSE is over."""
        return self.requested_at + timedelta(seconds=int(self.value))

    def as_dict(self) -> dict[str, str]:
        """Return who requested it, when and why, for JSON."""
        return {
            "requested_at": f"{self.requested_at.isoformat()}Z",
            "requested_by": self.requested_by,
            "why": self.why,
        }


@dataclass(frozen=True, kw_only=True)
class InForce:
    """Hold the requests in force for a cell, after that with *number* in its log."""

    number: int = 0
    pause: Request | None = None
    options: Mapping[str, Request] = field(default_factory=dict)

    def after(self, number: int, request: Request) -> InForce:
        """Return the requests in force after *request*, which has *number*."""
        pause, options = self.pause, {**self.options}
        if request.action == PAUSE:
            pause = request
        elif request.action == RESUME:
            pause = None
        elif request.action == SET and request.value == DEFAULT:
            options.pop(request.name, None)
        elif request.action == SET:
            options[request.name] = request
        return InForce(number=number, pause=pause, options=options)

    def pause_at(self, now: datetime) -> Request | None:
        """Return the pause in force at *now*, or None."""
        return self.pause if self.pause and now < self.pause.until else None

    def settings(self, own: Settings) -> tuple[Settings, dict[str, CellmapError]]:
        """Return *own* with the options in force.

        Also returns the error of each option that cannot be used, by its name. It may
        depend on an option that only this run has, or be one of a newer version.
        """
        unusable: dict[str, CellmapError] = {}
        for name, request in self.options.items():
            changed = with_option(own, request)
            if isinstance(changed, CellmapError):
                unusable[name] = changed
            else:
                own = changed
        return own, unusable

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """Return the requests in force at *now*, for JSON."""
        pause = self.pause_at(now)
        return {
            "pause": pause
            and {"until": f"{pause.until.isoformat()}Z", **pause.as_dict()},
            "settings": {
                name: {"value": request.value, **request.as_dict()}
                for name, request in sorted(self.options.items())
            },
        }


def with_option(settings: Settings, request: Request) -> Settings | CellmapError:
    """Return *settings* with the value of a SET, or the error of that value."""
    try:
        value = parse(request.name, request.value)
        changed = replace(settings, **{request.name: value})
        validate(vars(changed))
    except CellmapError as error:
        return error
    return changed


def requester() -> str:
    """Return the user and the host of this process, as user@host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:WIDTH]


def read_later(api: Database, cell_uuid: str, known: InForce) -> InForce:
    """Return the requests in force for a cell; read only those after *known*.

    Does not retry.
    """
    later = control.c.number > known.number
    select = sa.select(control).where(control.c.cell_uuid == cell_uuid, later)
    for row in api.read_once(select.order_by(control.c.number)):
        known = known.after(row.number, as_request(row))
    return known


def of_cells(api: Database) -> dict[str, InForce]:
    """Return the requests in force, by the uuid of each cell that ever had one."""
    found: dict[str, InForce] = {}
    if not api.has_table(control.name):
        return found
    select = sa.select(control).order_by(control.c.cell_uuid, control.c.number)
    for row in api.read(select):
        known = found.get(row.cell_uuid, InForce())
        found[row.cell_uuid] = known.after(row.number, as_request(row))
    return found


def as_request(row: Any) -> Request:
    """Convert a row of the table to a Request."""
    return Request(
        action=row.action,
        name=row.name,
        value=row.value,
        requested_at=row.requested_at,
        requested_by=row.requested_by,
        why=row.why,
    )


def append(api: Database, cell_uuid: str, requests: Sequence[Request]) -> None:
    """Add *requests* to the log of a cell, in one transaction.

    If the answer to its COMMIT is lost, they are added again, which changes nothing.
    Raises the errors of ``as_cellmap_error``.
    """
    try:
        api.retry(lambda: append_once(api, cell_uuid, requests))
    except api.errors as error:
        raise as_cellmap_error(error, api) from error


def append_once(api: Database, cell_uuid: str, requests: Sequence[Request]) -> None:
    """Add *requests* once; raise Changed if another operator took their number."""
    number = last_number(api, cell_uuid)
    rows = [
        {"cell_uuid": cell_uuid, "number": number + place, **asdict(request)}
        for place, request in enumerate(requests, start=1)
    ]
    try:
        with api.engine.begin() as connection:
            connection.execute(sa.insert(control), rows)
    except api.errors as error:
        if api.backend.fault(error) is not Fault.DATA:
            raise
        if last_number(api, cell_uuid) == number:
            raise
        raise Changed("other operators keep adding requests") from error


def last_number(api: Database, cell_uuid: str) -> int:
    """Return the number of the cell's last request, or 0 without any."""
    highest = sa.select(sa.func.max(control.c.number))
    [row] = api.read_once(highest.where(control.c.cell_uuid == cell_uuid))
    return row[0] or 0
