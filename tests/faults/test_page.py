"""docs/reliability.rst has a row for every fault that is caused here, and no other."""

import os
from pathlib import Path

import pytest

from tests.faults import tally

FILES = set(Path(__file__).parent.glob("test_*.py"))
# With these, only some of the tests are there.
CHOICES = ("backend", "deselect", "keyword", "lf", "markexpr")


def test_page_has_the_faults_and_their_databases(
    request: pytest.FixtureRequest,
) -> None:
    if "WRITE_TABLES" in os.environ:
        return  # The page is written when all of them have ended.
    items = request.session.items
    caused = {tally.cause(item) for item in items} - {None}
    shown = {(row[0], row[1]) for row in tally.shown()}

    assert caused, "this test is for those that are run with it"
    chosen = [name for name in CHOICES if request.config.getoption(name, None)]
    if {item.path for item in items} >= FILES and not chosen:
        assert caused == shown
    else:
        assert caused <= shown
