"""Draw the terminal in which a cell of the demo's cloud is mapped.

``python -m tools.pictures docs/terminal.svg``
"""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

# Its documentation has the format there.
from rich.console import (  # type: ignore[attr-defined]
    CONSOLE_SVG_FORMAT,
    Console,
)
from rich.text import Text

from tools.demo.kinds import USUAL, add, fill, new_uuids
from tools.demo.nova import Nova

ROOT = Path(__file__).parents[1]

MAP = "alembic -x cell=cell2 upgrade head"

COMMANDS = (MAP, "alembic -x cell=cell2 current")

# Enough for a run of some seconds, in which the bar is drawn at many moments.
INSTANCES = 200_000

COLUMNS = 80

# rich erases the bar before it draws it again, and at the end.
ERASED = re.compile(r"\r\x1b\[(?:1A\x1b\[)?2K")

# Code hosts do not let a picture load the fonts that rich's format names.
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FORMAT = re.sub(
    r" *@font-face {{.*?}}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL
).replace("Fira Code, monospace", FONTS)

SVG = "{http://www.w3.org/2000/svg}"

MASKS = {
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "UUID",
    r"([━╸╺]+\s*)+": "BAR ",
    r"[\d-]+:[\d-]+:[\d-]+": "TIME",
    r"\b\d[\d,.]*": "NUMBER",
    r"\s+": " ",
}


def run(command: str, home: Path) -> str:
    """Return the output of a command on a terminal; raise CalledProcessError.

    Its nova.conf is the one in *home*.
    """
    screen = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "24"}
    env = {**environment(home), **screen}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command.split(), cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b"".join(chunks(ours)).decode()
    os.close(ours)
    if code := process.wait():
        raise subprocess.CalledProcessError(code, command, output)
    return output.replace("\r\n", "\n")


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a user whose nova.conf is in *home*."""
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
    }


def chunks(terminal: int) -> Iterator[bytes]:
    """Yield what arrives at a terminal until its last program has ended."""
    try:
        while chunk := os.read(terminal, 1 << 16):
            yield chunk
    except OSError:
        # Linux reports the end in this way.
        return


def half_way(bars: list[Text]) -> Text:
    """Return the bar that is nearest to 50 %."""
    return min(bars, key=lambda bar: abs(50 - int(bar.plain.partition("%")[0][-3:])))


def draw(command: str, home: Path, console: Console) -> None:
    """Print a command, its bar half way if it has one, and its last output."""
    console.print(Text(f"$ {command}", style="bold"))
    *drawn, end = map(Text.from_ansi, ERASED.split(run(command, home)))
    bars = [bar for bar in drawn if re.search("mapping .* rows/s", bar.plain)]
    if bars:
        console.print(half_way(bars))
    end.rstrip()
    console.print(end)


def picture(instances: int) -> str:
    """Map a cell with so many more *instances*; return the picture of the terminal."""
    console = Console(
        record=True,
        file=StringIO(),
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    with TemporaryDirectory() as folder:
        nova = Nova(Path(folder))
        fill(nova)
        uuids = new_uuids(seed=3)
        add(nova, "cell2", [next(uuids) for _ in range(instances)], USUAL)
        for command in COMMANDS:
            draw(command, nova.folder, console)
    svg = console.export_svg(title="", code_format=FORMAT, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def words(svg: str) -> str:
    """Return the text of a picture, with numbers and times masked."""
    texts = ET.fromstring(svg).iter(f"{SVG}text")
    shown = " ".join(text.text or "" for text in texts)
    for pattern, mask in MASKS.items():
        shown = re.sub(pattern, mask, shown)
    return shown


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(INSTANCES))
