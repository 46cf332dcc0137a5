"""Compare the created_at of mappings and instances, which need not be equal.

nova's boots write the two some seconds apart, and its map_instances writes the time at
which it runs. nova shows the created_at of a mapping as the server's while the cell is
down.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.backends.times import Seconds

if TYPE_CHECKING:
    from datetime import datetime

CREATED_AT = "created_at"
# How many seconds the two may be apart.
APART = 60


def seconds(column: sa.ColumnElement[Any], *, compared: bool) -> sa.ColumnElement[int]:
    """Return SQL for the seconds since 1970 of *column*, or for 0."""
    return Seconds(column) if compared else sa.literal_column("0", sa.BigInteger)


def near(one: int | None, other: int | None) -> bool:
    """Return True if two times, in seconds, are at most APART seconds apart."""
    return one is None or other is None or abs(one - other) <= APART


def apart(found: datetime | None, expected: datetime | None) -> str:
    """Return how a mapping's time differs from the cell's, or nothing if it is near."""
    if found is None or expected is None:
        return ""
    if abs(expected - found) <= timedelta(seconds=APART):
        return ""
    one, other = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (found, expected))
    return (
        f"{one} in its mapping, {other} in the cell; nova shows the first while the "
        "cell is down"
    )
