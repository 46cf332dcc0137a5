"""Check the output of a run for people, programs and terminals, after any end."""

import json

from cellmap_migrations.testing.process import Finished
from tests.faults import hostile

CODES = {0, 3, 65, 75, 77, 78}


def assert_told(finished: Finished, *, as_json: bool = False) -> None:
    """Check that a person and a program were told the end, and a terminal nothing."""
    out, err = finished.out, finished.err
    assert finished.code in CODES, err
    assert hostile.SECRET not in out + err
    assert all(line.isprintable() for line in (out + err).split("\n"))
    if finished.code:
        assert err.splitlines()[-1].startswith("error: ")
    if as_json:
        assert len(out.splitlines()) == 1
        assert json.loads(out)["exit_code"] == finished.code
