"""An age of exactly grace_seconds is treated as the safer of the two sides."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cellmap_migrations.comparing import orphans
from cellmap_migrations.nova.rules import (
    Evidence,
    ExistingMapping,
    Instance,
    Outcome,
    decide,
)
from cellmap_migrations.operations.unmap import is_ours
from cellmap_migrations.testing.rows import LONG_AGO

GRACE = 600


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        (GRACE - 1, Outcome.IN_FLIGHT),
        (GRACE, Outcome.IN_FLIGHT),
        (GRACE + 1, Outcome.FILLED),
    ],
    ids=["younger", "exactly", "older"],
)
def test_mapping_without_cell_is_filled_only_when_older_than_the_grace(
    age: int, outcome: Outcome
) -> None:
    instance = Instance(
        id=1,
        uuid="a",
        created_at=LONG_AGO,
        deleted=False,
        hidden=False,
        building=True,
        restoring=False,
        values={},
    )
    evidence = Evidence(
        cell_id=1,
        now=LONG_AGO + timedelta(seconds=age),
        grace=timedelta(seconds=GRACE),
        requests={},
        copies={},
        cell_names={},
    )

    verdict = decide(
        instance, ExistingMapping(instance_uuid="a", cell_id=None), evidence
    )

    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("age", "ours"), [(GRACE - 1, False), (GRACE, True)], ids=["younger", "exactly"]
)
def test_mapping_older_than_its_stamp_by_the_grace_is_ours(
    age: int, *, ours: bool
) -> None:
    row = SimpleNamespace(
        created_at=LONG_AGO, updated_at=LONG_AGO + timedelta(seconds=age)
    )

    assert is_ours(row, GRACE) is ours


@pytest.mark.parametrize(
    ("age", "settled"),
    [(GRACE - 1, False), (GRACE, True)],
    ids=["younger", "exactly"],
)
def test_mapping_without_an_instance_is_left_to_nova_until_the_grace_is_over(
    monkeypatch: pytest.MonkeyPatch, age: int, *, settled: bool
) -> None:
    now = LONG_AGO + timedelta(seconds=age)
    monkeypatch.setattr(orphans, "utcnow", lambda: now)
    cell: Any = SimpleNamespace(settings=SimpleNamespace(grace_seconds=GRACE))
    row = SimpleNamespace(instance_uuid="a", created_at=None, updated_at=LONG_AGO)

    assert orphans.is_settled(cell, row, frozenset()) is settled
