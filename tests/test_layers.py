"""The sources keep to the architecture: who imports whom, and how long things are."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cellmap_migrations

ROOT = Path(cellmap_migrations.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# From the bottom up; nobody imports what stands further down.
LAYERS = [
    "errors secrets schema rules outcomes throttle_options bar",
    "backends folding options progress stopping threads",
    "nova_conf",
    "settings",
    "templates urls",
    "databases driver_errors attempts connecting directory reach identities",
    "bookkeeping",
    "reporting printing table failures",
    "throttling",
    "copying comparing",
    "merging",
    "cell",
    "dry_run steps",
    "one_cell running fleet env versions __init__ cli",
    "upgradecheck",
    "testing",
]
HEIGHT = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
DIALECTS = {"mysql", "mariadb", "postgresql", "sqlite", "pymysql", "psycopg"}
MAY_IMPORT_ALEMBIC = {"env", "bookkeeping/version", "bookkeeping/version_table"}
MAY_IMPORT_ALEMBIC |= {"cli/through_alembic"}
ONLY_TESTS_NEED = {"mirakuru", "pytest", "pytest_postgresql"}
LONGEST_MODULE, LONGEST_FUNCTION = 170, 45
each_module = pytest.mark.parametrize("name", NAMES)


@cache
def tree(name: str) -> ast.Module:
    """Return the syntax of a module."""
    return ast.parse((ROOT / name).read_text())


def imports(name: str) -> Iterator[str]:
    """Yield the full names that a module imports when it runs."""
    for_types = {
        id(node)
        for block in ast.walk(tree(name))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree(name)):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {name}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name: str) -> str:
    """Return the part of the package that a file or an imported name belongs to."""
    return name.removesuffix(".py").replace("/", ".").split(".")[0]


def imported_parts(name: str) -> set[str]:
    """Return the parts of the package that a module imports."""
    inside = [found.split(".") for found in imports(name)]
    inside = [words for words in inside if words[0] == "cellmap_migrations"]
    return {words[1] if words[1] in HEIGHT else "__init__" for words in inside}


@each_module
def test_module_belongs_to_a_layer(name: str) -> None:
    assert part(name) in HEIGHT


@each_module
def test_module_imports_only_from_its_layer_and_below(name: str) -> None:
    # What env.py and the scripts import is the package's public face.
    higher = {
        other for other in imported_parts(name) if HEIGHT[other] > HEIGHT[part(name)]
    }

    assert higher == set()


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

    if part(name) != "upgradecheck":
        assert found == set()


@each_module
def test_dialects_are_named_in_the_backends_only(name: str) -> None:
    # The servers of tests are as different as the databases.
    if part(name) in {"backends", "testing"}:
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

    # errors.py is a list of sentences.
    assert lines <= LONGEST_MODULE or name == "errors.py"
    assert [each for each in functions if each[1] > LONGEST_FUNCTION] == []
