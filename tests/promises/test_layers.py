"""The sources keep to the architecture: imports go down, and modules are short."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cellmap_migrations
from tests.harness.rooms import ROOMS
from tools import architecture

ROOT = Path(cellmap_migrations.__file__).parent

MODULES = sorted(ROOT.rglob("*.py"))

NAMES = [str(path.relative_to(ROOT)) for path in MODULES]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

HEIGHT = {name: number for number, name in enumerate(ROOMS)}
DIALECTS = {"mysql", "mariadb", "postgresql", "sqlite", "pymysql", "psycopg"}

MAY_IMPORT_ALEMBIC = {"env", "bookkeeping/versions", "operations/steps"}
ONLY_TESTS_NEED = {"mirakuru", "pytest", "pytest_postgresql"}

LONGEST_MODULE, LONGEST_FUNCTION = 300, 45

# A table of sentences.
LISTS = {"common/sentences.py"}
MOST_ROOMS = 15
each_module = pytest.mark.parametrize("name", NAMES)


@cache
def tree(name: str) -> ast.Module:
    """Return the syntax of a module."""
    return ast.parse((ROOT / name).read_text())


def imports(name: str) -> Iterator[str]:
    """Yield the full names that a module imports, also for types."""
    return architecture.imported(ROOT / name)


def dotted(name: str) -> str:
    """Return the name by which a module is imported."""
    return ".".join(("cellmap_migrations", *Path(name).with_suffix("").parts))


def imported_modules(name: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports, as names of files."""
    files = {dotted(other): other for other in NAMES}
    for found in imports(name):
        for candidate in (found, found.rpartition(".")[0]):
            inside = files.get(candidate) or files.get(f"{candidate}.__init__")
            if inside and inside != name:
                yield inside
                break


def part(name: str) -> str:
    """Return the room that a module belongs to."""
    return architecture.room(ROOT / name)


def imported_parts(name: str) -> set[str]:
    """Return the parts of the package that a module imports."""
    inside = [found.split(".") for found in imports(name)]
    inside = [words for words in inside if words[0] == "cellmap_migrations"]
    return {words[1] if words[1] in HEIGHT else "__init__" for words in inside}


def test_package_has_few_rooms() -> None:
    entries = {part(name) for name in NAMES} - {"__init__"}

    assert len(entries) <= MOST_ROOMS


@each_module
def test_no_import_is_relative(name: str) -> None:
    imported = [
        node for node in ast.walk(tree(name)) if isinstance(node, ast.ImportFrom)
    ]

    assert [node.lineno for node in imported if node.level != 0] == []


@each_module
def test_module_belongs_to_a_room(name: str) -> None:
    assert part(name) in HEIGHT


@each_module
def test_module_imports_only_from_its_room_and_below(name: str) -> None:
    # What env.py and the scripts import is the package's public face.
    higher = {
        other for other in imported_parts(name) if HEIGHT[other] > HEIGHT[part(name)]
    }

    assert higher == set()


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: set(imported_modules(name)) for name in NAMES}

    # Raises CycleError, which names the modules.
    TopologicalSorter(graph).prepare()


OWN_CLASSES = {
    node.name.lower()
    for name in NAMES
    if not name.startswith("testing/")
    for node in ast.walk(ast.parse((ROOT / name).read_text()))
    if isinstance(node, ast.ClassDef)
}


@each_module
def test_class_of_ours_is_not_hidden_behind_any(name: str) -> None:
    arguments = [
        argument
        for function in ast.walk(tree(name))
        if isinstance(function, FUNCTIONS)
        for argument in (*function.args.args, *function.args.kwonlyargs)
    ]
    hidden = {
        argument.arg
        for argument in arguments
        if argument.annotation
        and ast.unparse(argument.annotation) == "Any"
        and argument.arg.replace("_", "") in OWN_CLASSES
    }

    assert hidden == set()


@each_module
def test_alembic_is_imported_where_it_is_adapted(name: str) -> None:
    found = {word for word in imports(name) if word.split(".")[0] == "alembic"}

    if name.removesuffix(".py") not in MAY_IMPORT_ALEMBIC:
        assert found == set()


@each_module
def test_what_only_tests_need_is_imported_in_testing(name: str) -> None:
    found = {word for word in imports(name) if word.split(".")[0] in ONLY_TESTS_NEED}

    if part(name) != "testing":
        assert found == set()


@each_module
def test_start_of_other_commands_does_not_wait_for_the_upgrade_check(name: str) -> None:
    found = {word for word in imports(name) if word.startswith("oslo_upgradecheck")}

    if not name.startswith("cli/upgrade_check"):
        assert found == set()


@each_module
def test_dialects_are_named_in_one_room_only(name: str) -> None:
    # The servers of tests are as different as the databases.
    if part(name) in {"databases", "testing"}:
        return
    texts = {
        node.value
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert {text for text in texts if text.split("+")[0] in DIALECTS} == set()


@each_module
def test_nothing_is_imported_inside_a_function(name: str) -> None:
    functions = [node for node in ast.walk(tree(name)) if isinstance(node, FUNCTIONS)]
    hidden = [
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]

    assert hidden == []


@each_module
def test_module_and_its_functions_are_short(name: str) -> None:
    lines = len((ROOT / name).read_text().splitlines())
    functions = [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree(name))
        if isinstance(node, FUNCTIONS)
    ]

    assert lines <= LONGEST_MODULE or name in LISTS
    assert [each for each in functions if each[1] > LONGEST_FUNCTION] == []


def test_no_test_imports_from_another_test() -> None:
    tests = Path(__file__).parents[1].rglob("test_*.py")
    found = {
        path.name: node.module
        for path in tests
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and ".test_" in (node.module or "")
    }

    assert found == {}
