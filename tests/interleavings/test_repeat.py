"""The line that a failure shows repeats the failure."""

import re

import pytest

from tests.interleavings.__main__ import main
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.repeat import repeat
from tests.interleavings.walks import fail

LINE = re.compile("python -m tests.interleavings (upgrade:sqlite:.*)")


def complain(_: Explorer, case: Case) -> None:
    """Complain about the exit codes of every case."""
    if case.number:
        case.complaints.append(("", f"the runs ended with {case.codes}"))


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("names", "codes"),
    [
        ("archive/1,boot/2", "[0]"),
        ("kill+archive/1", "[-9, 0]"),
        ("lock-timeout", "[0]"),
        ("second-run", "[75, 0]"),
    ],
)
def test_printed_line_repeats_a_failure(
    explorer: Explorer,
    names: str,
    codes: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    point = next(each for each in explorer.points if each.locks)
    monkeypatch.setattr(Explorer, "judge", complain)
    case = repeat(explorer, point.number, names)
    fail(explorer, case)
    line, place, *why = explorer.coverage.failures
    found = LINE.fullmatch(line)
    assert found

    ended = main(found[1])

    shown = capsys.readouterr().out
    assert ended == 1
    assert f"the runs ended with {codes}" in " ".join(why)
    assert "\n".join([line, place, *why]) in shown
