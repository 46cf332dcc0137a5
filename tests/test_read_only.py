"""What only reads has sessions that cannot write, whatever its code may do."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.nova.cloud import Cloud
from tests.nova.inside import alembic_inside, cellmap_inside


@pytest.fixture
def sessions() -> Any:
    """Collect, from every session that ends, whether it may only read."""
    seen: list[bool] = []

    def look(connection: Any, _: Any) -> None:
        seen.append(bool(connection.execute("PRAGMA query_only").fetchone()[0]))

    sa.event.listen(sa.pool.Pool, "checkin", look)
    yield seen
    sa.event.remove(sa.pool.Pool, "checkin", look)


@pytest.mark.parametrize(
    "command",
    [
        "upgrade --cell cell1 --dry-run",
        "repair --cell cell1 --dry-run",
        "check --cell cell1",
        "status",
        "journal --cell cell1",
        "cells",
    ],
)
def test_command_cannot_write(cloud: Cloud, sessions: list[bool], command: str) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    cellmap_inside(cloud, *command.split())

    assert set(sessions) == {True}


def test_alembic_check_cannot_write(cloud: Cloud, sessions: list[bool]) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    alembic_inside(cloud, "check", cell="cell1")

    assert set(sessions) == {True}


def test_upgrade_can_write_in_the_api_database_only(
    cloud: Cloud, sessions: list[bool]
) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert set(sessions) == {True, False}
