"""With several cells the gravest end of one is the end of all."""

import pytest

from cellmap_migrations.common.errors import (
    SEVERITY,
    CellmapError,
    CheckFailed,
    ConfigurationError,
    RightsError,
    RowsInTheWay,
    TryAgain,
)
from cellmap_migrations.output.report import Report, worst

ERRORS = [
    CheckFailed(),
    TryAgain(),
    RowsInTheWay(),
    RightsError(),
    ConfigurationError(),
    CellmapError(),
]

BY_CODE = {error.code: error for error in ERRORS}


def ended(code: int) -> Report:
    """Return the report of a cell that ended with *code*."""
    report = Report()
    report.end(BY_CODE.get(code))
    return report


@pytest.mark.parametrize(
    ("one", "graver"),
    [(0, 3), (3, 75), (75, 65), (65, 77), (77, 78), (78, 70)],
)
def test_graver_code_is_the_exit_code_in_whatever_order(one: int, graver: int) -> None:
    reports = [ended(one), ended(graver)]

    assert worst(reports) == graver
    assert worst(reports[::-1]) == graver


def test_every_exit_code_is_the_end_of_a_cell() -> None:
    assert set(SEVERITY) == {0, *BY_CODE}
