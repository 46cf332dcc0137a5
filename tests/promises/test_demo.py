"""``make demo`` shows what it promises, and fails when it cannot."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from cellmap_migrations.testing.process import Finished, Running
from tests.harness.cloud import ROOT


def demo(folder: Path, *, ini: str = "alembic.ini") -> Finished:
    """Run the demo in a folder that has the checkout's tools and one ini file."""
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "alembic.ini", folder / ini)
    return run(folder, sys.executable, "-m", "tools.demo")


def run(folder: Path, *command: str) -> Finished:
    """Run a command to its end."""
    running = Running(command, cwd=folder)
    finished = running.wait()
    running.close()
    return finished


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run the demo in."""
    return tmp_path_factory.mktemp("checkout")


@pytest.fixture(scope="module")
def shown(folder: Path) -> Finished:
    """Return the output of the demo."""
    return demo(folder)


def test_demo_keeps_its_promises(shown: Finished) -> None:
    errors = [line for line in shown.err.splitlines() if line.startswith("error:")]

    assert shown.code == 0
    assert re.findall(r"^exit code (\d+)$", shown.out, re.MULTILINE) == ["0", "65", "0"]
    assert [
        re.sub(r"^error: cell .*?: (.*) left as they are.*$", r"\1", line)
        for line in errors
    ] == ["2 conflict, 5 rejected, 3 unresolved"]


def test_demo_shows_every_cell_before_and_after(shown: Finished) -> None:
    rows = re.findall(r"^ (cell\d) +(\S.*?) *$", shown.out, re.MULTILINE)

    assert [(cell, " ".join(columns.split())) for cell, columns in rows] == [
        ("cell0", "151 0 150 150 -"),
        ("cell1", "3,737 690 2,620 2,620 -"),
        ("cell2", "1,228 35 1,200 1,200 -"),
        ("cell3", "down"),
        ("cell0", "151 150 150 0 0003"),
        ("cell1", "3,737 3,706 2,620 4 0003"),
        ("cell2", "1,228 1,222 1,200 0 0003"),
        ("cell3", "21 20 20 0 0003"),
    ]


def test_demo_is_plain_where_there_is_no_terminal(shown: Finished) -> None:
    assert "\x1b" not in shown.out + shown.err


def test_printed_command_can_be_typed(shown: Finished, folder: Path) -> None:
    commands = re.findall(r"^\$ (.*)$", shown.out, re.MULTILINE)
    [current] = [line for line in commands if line.endswith("current")]

    finished = run(folder, *current.split())

    assert (finished.code, finished.out) == (0, "0003 (head)\n")


def test_demo_fails_with_alembic(tmp_path: Path) -> None:
    finished = demo(tmp_path, ini="other.ini")

    assert (
        finished.code,
        finished.err.splitlines()[-1],
    ) == (1, "error: exit code 0 was promised")
