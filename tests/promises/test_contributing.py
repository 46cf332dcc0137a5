"""CONTRIBUTING.rst and docs/architecture.rst agree with the code that they describe."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import ROOT
from tests.harness.rooms import ROOMS
from tools import architecture
from tools.mutants.__main__ import all_changes, argued
from tools.mutants.recording import ROOMS as WITH_MUTANTS

PACKAGE = ROOT / "cellmap_migrations"

TESTS = ROOT / "tests"

ARCHITECTURE = readme.DOCS / "architecture.rst"

PAGES = [*readme.PAGES, readme.CONTRIBUTING]


def test_figure_shows_the_imports_of_today() -> None:
    drawn = (readme.DOCS / "architecture.svg").read_text()

    assert drawn == architecture.svg(), "out of date: run make docs"


def test_figure_has_an_arrow_for_each_import_that_no_other_stands_for() -> None:
    found, arrows = architecture.rooms(), architecture.arrows()

    def reached(name: str) -> set[str]:
        return set().union(*({each} | reached(each) for each in arrows[name]))

    assert {name: targets - reached(name) for name, targets in found.items()} == {
        name: set() for name in found
    }
    assert architecture.svg().count("<line") == sum(map(len, arrows.values()))


def test_rooms_are_explained_in_their_order() -> None:
    bottom, second, *_ = ROOMS
    expected = {room: f"{bottom} to {below}" for below, room in pairwise(ROOMS)}
    expected |= {bottom: "no room", second: bottom}

    explained = readme.table("room", readme.CONTRIBUTING)

    found = {room: may.replace("`", "") for room, may in explained.items()}
    assert ([*found], found) == (ROOMS, expected)


def test_folders_of_tests_are_explained() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/__init__.py")}

    assert set(readme.table("folder", readme.CONTRIBUTING)) == folders


def test_example_of_a_test_passes(make_cloud: MakeCloud) -> None:
    page = readme.section(readme.CONTRIBUTING, "Write a test")
    [example] = readme.blocks("python", page)
    [name] = [each.name for each in functions(example)]
    names: dict[str, object] = {}

    exec(compile(example, "CONTRIBUTING.rst", "exec"), names)

    test = names[name]
    assert callable(test)
    test(make_cloud)


def functions(source: str) -> list[ast.FunctionDef]:
    """Return the functions that *source* defines at its top."""
    tree = ast.parse(source)
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_targets_that_the_page_names_exist(page: Path) -> None:
    text = page.read_text()
    modules = re.findall(r"``([a-z_]+/[\w/]*\.py)``", text)
    ours = re.findall(r"\b((?:tests|tools|cellmap_migrations)/[\w/]+(?:\.py)?)", text)
    makes = re.findall(r"(?:``|\$ )make ([a-z-]+)", text)

    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    missing = [
        name
        for name in {*modules, *ours}
        if not (ROOT / name).exists() and not (PACKAGE / name).exists()
    ]
    assert missing == []
    assert set(makes) <= set(targets)


def test_page_says_in_which_file_each_thing_is_decided() -> None:
    decided = readme.table("question", ARCHITECTURE)

    assert all((PACKAGE / name).is_file() for name in decided.values())
    assert {"nova/rules.py", "copying/batches.py"} <= set(decided.values())
    assert {"common/secrets.py", "common/errors.py"} <= set(decided.values())


def test_page_explains_no_mutant_that_is_gone() -> None:
    assert argued() <= {change.name for change in all_changes([*WITH_MUTANTS])}
