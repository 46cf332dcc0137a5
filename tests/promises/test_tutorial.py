"""docs/tutorial.rst shows what its commands print, from an empty folder to the end."""

import re
import sys
from pathlib import Path

from cellmap_migrations.testing.process import Running
from tests.harness import readme

# How the reader installs the package, which the tests have.
INSTALL = ("python3 -m venv ", "venv/bin/pip ", "PATH=")

# Printed between the outputs of two commands; the exit code of the first is kept.
MARK = "=== next command"
NEXT = f"next() {{ code=$?; echo '{MARK}'; return $code; }}"

MASKS = {
    r"\d+\.\d s\b": "N.N s",
    r"\d+\.\d(?= +\d+$)": "N.N",
    r"[\d,]+(?=  -     \d{4}-)": "SPEED",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ": "TIME",
    # A line is wrapped to the width of the page.
    r"\s+": " ",
}


def steps() -> list[tuple[str, str]]:
    """Return the commands of the page, each with what is shown below it."""
    parts = [
        part
        for block in readme.blocks("console", readme.TUTORIAL.read_text())
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    found = [part.partition("\n") for part in parts]
    return [(command, masked(output)) for command, _, output in found]


def masked(text: str) -> str:
    """Return *text* without what differs from run to run."""
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text, flags=re.MULTILINE)
    return text.strip()


def printed(commands: list[str], folder: Path) -> list[str]:
    """Run commands in one shell; return what each of them prints."""
    script = "\n".join([NEXT, *(f"next; {command}" for command in commands)])
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    env = {"HOME": str(folder), "PATH": path}
    running = Running(["sh", "-c", f"exec 2>&1\n{script}"], env=env, cwd=folder)
    try:
        return running.wait().out.split(f"{MARK}\n")[1:]
    finally:
        running.close()


def test_commands_print_what_the_tutorial_shows(tmp_path: Path) -> None:
    shown = [step for step in steps() if not step[0].startswith(INSTALL)]
    commands = [command for command, _ in shown]

    outputs = [masked(output) for output in printed(commands, tmp_path)]

    assert [*zip(commands, outputs, strict=True)] == shown
