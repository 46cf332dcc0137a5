"""Change one decision of the package at a time, and list changes that no test notices.

``python -m tools.mutants map TESTS...`` records which tests run which statements, and
``python -m tools.mutants run ROOMS...`` tries the changes of rooms or modules. Both
keep their results in ``.mutants``, and continue where they have stopped. ``report``
prints the figures, and ends with 1 if docs/mutants.rst does not name a change that no
test noticed.

mutmut 3 and cosmic-ray 8 do not fit. mutmut counts which functions a test calls in the
process of the test, but most tests of this package run commands in processes that they
fork; it changes neither decorated functions nor the constants of a module. cosmic-ray
starts one command for all changes, and so the whole suite for each change.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pytest

from tools.mutants.changes import Change, changes
from tools.mutants.recording import FOLDER, ROOMS, Durations, Recorded, Statements
from tools.mutants.trying import PACKAGE, RESULTS, Mutants

PAGE = Path(__file__).parents[2] / "docs" / "mutants.rst"


def all_changes(names: list[str]) -> list[Change]:
    """Return the changes of rooms or modules, such as copying or copying/batches.py."""
    found = []
    for name in names:
        path = PACKAGE / name
        for module in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            found += changes(module, module.relative_to(PACKAGE).as_posix())
    return found


def results() -> dict[str, str]:
    """Return the last result of each change by its name."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {name: end for name, end, *_ in map(json.loads, lines)}


def argued() -> set[str]:
    """Return the names of the changes that the page explains."""
    return set(re.findall("^``(.+)``$", PAGE.read_text(), re.MULTILINE))


def report(rooms: list[str]) -> int:
    """Print the figures of each room, and the changes that need a test or a reason."""
    known, page, left = results(), argued(), []
    print("room         changes tried noticed argued left")
    for room in rooms:
        names = [change.name for change in all_changes([room])]
        tried = [name for name in names if name in known]
        others = [name for name in tried if not known[name].startswith("noticed")]
        open_ = [name for name in others if name not in page]
        numbers = (
            len(names),
            len(tried),
            len(tried) - len(others),
            len(others) - len(open_),
            len(open_),
        )
        print("{:12} {:7} {:5} {:7} {:6} {:4}".format(room, *numbers))
        left += open_
    for name in left:
        print(f"{known[name]}: {name}")
    return 1 if left else 0


def due(chosen: list[Change], *, again: bool) -> list[Change]:
    """Return the changes that were not tried yet, or also survivors *again*."""
    known = results()
    skipped = argued() if again else set(known)
    return [
        change
        for change in chosen
        if change.name not in skipped
        and not known.get(change.name, "").startswith("noticed")
    ]


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="tools.mutants")
    parser.add_argument("command", choices=("map", "list", "run", "report"))
    parser.add_argument("names", nargs="*", help="tests of map; else rooms or modules")
    parser.add_argument("--backend", action="append", help="as for pytest (sqlite)")
    parser.add_argument("--jobs", type=int, default=1, help="changes at the same time")
    parser.add_argument("--seconds", type=float, default=60, help="of tests per change")
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--only", default="", help="a part of the names of the changes")
    parser.add_argument("--every", type=int, default=1, help="take a sample")
    args = parser.parse_intermixed_args()
    args.backend = args.backend or ["sqlite"]
    FOLDER.mkdir(exist_ok=True)
    backends = [f"--backend={name}" for name in args.backend]
    # Commands write to the files 1 and 2, which pytest would take away.
    common = ["-p", "no:cacheprovider", "--capture=no", "-q", *backends]
    if args.command == "map":
        plugins = [Durations(), Statements()]
        ended = pytest.main([*common, *args.names], plugins=plugins)
        # A test that fails here is not recorded, and does not hinder the others.
        return 0 if ended is pytest.ExitCode.TESTS_FAILED else int(ended)
    rooms = args.names or list(ROOMS)
    if args.command == "report":
        return report(rooms)
    chosen = [change for change in all_changes(rooms) if args.only in change.name]
    chosen = chosen[:: args.every]
    if args.command == "list":
        print("\n".join(change.name for change in chosen))
        return 0
    tests = Recorded()
    modules = sorted({test.partition("::")[0] for test in tests.seconds})
    plugin = Mutants(
        due(chosen, again=args.again),
        tests,
        backends=args.backend,
        jobs=args.jobs,
        limit=args.seconds,
    )
    return int(pytest.main([*common, *modules], plugins=[plugin]))


if __name__ == "__main__":
    sys.exit(main())
