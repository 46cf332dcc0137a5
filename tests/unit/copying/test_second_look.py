"""A living cloud has a second between two looks at what is in doubt."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.comparing import chunks
from tests.harness import second_look, status
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Collect the seconds for which commands would wait, and let no time pass."""
    found: list[float] = []
    monkeypatch.setattr(Stopping, "wait", lambda _, seconds: found.append(seconds))
    # Its pages wait for what is left of the time since they were found.
    monkeypatch.setattr(chunks, "time", SimpleNamespace(monotonic=lambda: 0.0))
    with second_look.in_earnest():
        yield found


def test_it_is_a_second() -> None:
    assert second_look.USUAL == 1.0


@pytest.mark.parametrize("mapped", [True, False], ids=["conflict", "difference"])
def test_comparison_waits_before_it(
    cloud: Cloud, waits: list[float], *, mapped: bool
) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuid = cell.add_instance()
    other.add_instance(uuid=uuid)
    if mapped:
        cloud.map(uuid, other)

    alembic_inside(cloud, "check", cell="cell1")

    # A conflict is looked at twice each time.
    assert waits == [second_look.USUAL] * (2 if mapped else 1)


def test_upgrade_waits_before_it(cloud: Cloud, waits: list[float]) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuid = cell.add_instance()
    other.add_instance(uuid=uuid)
    cloud.map(uuid, other)

    finished = alembic_inside(cloud, "upgrade", "0001", cell="cell1")

    assert finished.code == 65
    assert waits
    assert set(waits) == {second_look.USUAL}


def test_upgrade_check_waits_before_it(cloud: Cloud, waits: list[float]) -> None:
    cloud.add_cell("cell1").add_instance()

    status.check(cloud)

    assert waits == [second_look.USUAL]
