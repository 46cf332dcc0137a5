"""The table of README.rst has the versions that are required, installed and tested."""

import platform
import re
import sqlite3
import subprocess

import pytest

from cellmap_migrations.databases import dialects
from cellmap_migrations.testing import BACKENDS
from tests.harness import readme
from tests.harness.newer import FOLDER, NEWER, kind_named

PROJECT = (readme.ROOT / "pyproject.toml").read_text()

MAKEFILE = (readme.ROOT / "Makefile").read_text()

LOWEST = (readme.ROOT / "tools" / "test-lowest").read_text()

PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)


def cells(name: str, *headings: str) -> list[str]:
    """Return the versions in the row of *name*, of these columns or all tested ones."""
    first, *rows = readme.rows("software", readme.README)
    row = next(row for row in rows if row[0].startswith(name))
    shown = dict(zip(first, row, strict=True))
    return [
        version
        for heading in headings or first[2:]
        for version in re.findall(r"[^, ][^,]*", shown[heading])
    ]


def has(version: str, shown: list[str]) -> bool:
    """Return True if *version* is one of those shown, or a later digit of one."""
    return any(f"{version}.".startswith(f"{each}.") for each in shown)


@pytest.mark.parametrize("backend_name", BACKENDS)
def test_server_that_all_tests_run_on_is_shown(backend_name: str) -> None:
    name, version = kind_named(backend_name).version().split()

    assert has(version, cells(name)), version


def test_newer_servers_are_shown_and_are_those_of_the_makefile() -> None:
    [run] = re.findall(r"echo (.+) \| xargs", MAKEFILE)
    versions = [kind_named(name).version().split() for name in NEWER]

    assert [*NEWER] == run.split()
    assert [
        (name, version)
        for name, version in versions
        if not has(version, cells(name, "promises"))
    ] == []


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_oldest_server_is_the_one_that_is_not_refused(kind: str) -> None:
    oldest = dialects.BACKENDS[kind].oldest

    assert {name: cells(name, "oldest") for name in oldest} == {
        name: [".".join(map(str, version))] for name, version in oldest.items()
    }


def test_pythons_are_those_of_the_project_and_the_oldest_is_required() -> None:
    [required] = re.findall(r'requires-python = ">=(.+)"', PROJECT)
    shown = cells("Python")

    assert sorted(shown) == sorted(PYTHONS)
    assert cells("Python", "oldest") == [required] == PYTHONS[:1]
    assert has(platform.python_version(), shown)


def test_newest_python_is_installed_and_its_sqlite_shown() -> None:
    code = "import sqlite3; print(sqlite3.sqlite_version)"
    newest = FOLDER / "pythons" / "usr" / "bin" / f"python{PYTHONS[-1]}"

    version = subprocess.check_output([newest, "-c", code], text=True).strip()

    assert has(version, cells("SQLite"))
    assert has(sqlite3.sqlite_version, cells("SQLite"))


def test_releases_of_nova_are_those_that_are_installed() -> None:
    installed = re.findall(r"tools/install-nova \S+ ([\d.]+)$", MAKEFILE, re.MULTILINE)

    assert sorted(cells("nova")) == sorted(installed)


def test_libraries_and_their_lowest_versions_are_the_required_ones() -> None:
    [base] = re.findall(
        r"^dependencies = \[\n(.+?)^\]", PROJECT, re.DOTALL | re.MULTILINE
    )
    [extra] = re.findall(r"^postgresql = (.+)$", PROJECT, re.MULTILINE)
    lowest: dict[str, str] = {}
    for name, version in re.findall(r'"([\w.]+)(?:\[\w+\])?>=([\d.]+)', base + extra):
        lowest.setdefault(name, version)
    _, *rows = readme.rows("software", readme.README)

    shown = {row[0]: row[1] for row in rows if row[2] == "newest"}

    assert shown == lowest
    assert all(cells(name) == ["newest", "oldest"] for name in shown)
    assert "--resolution lowest-direct" in LOWEST
