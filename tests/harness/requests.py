"""Request something of a run, as operators do."""

from datetime import datetime
from typing import Any

from cellmap_migrations.bookkeeping import requests, tables
from cellmap_migrations.bookkeeping.requests import PAUSE, SET, Request
from cellmap_migrations.cell.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import LONG_AGO
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside

WHO, WHY = "nova@ctl1", "replica is rebuilt"


def request(action: str, *, at: datetime = LONG_AGO, **columns: str) -> Request:
    """Return a request of an operator on another host."""
    usual: dict[str, Any] = {"requested_at": at, "requested_by": WHO, "why": WHY}
    return Request(action=action, **{**usual, **columns})


def pause(seconds: int = 60, **columns: Any) -> Request:
    """Return the request of a pause."""
    return request(PAUSE, name="max_pause", value=str(seconds), **columns)


def setting(name: str, value: str, **columns: Any) -> Request:
    """Return the request of a value."""
    return request(SET, name=name, value=value, **columns)


def record(inside: Cell, *wanted: Request) -> None:
    """Add the requests to the log of a cell."""
    tables.create_tables(inside.api)
    requests.append(inside.api, inside.mapping.uuid, wanted)


def ask(cloud: Cloud, command: str, *arguments: str) -> Finished:
    """Run a command for cell1, which must end well."""
    finished = cellmap_inside(cloud, command, "--cell", "cell1", *arguments)
    assert (finished.code, finished.err) == (0, "")
    return finished
