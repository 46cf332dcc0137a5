"""Take the picture of the page of ``cellmap report`` that README.rst shows.

``python -m tools.screenshot docs/report.png``. The PNG also has the text that is to be
seen, so that a test can compare it with the page of today.
"""

import base64
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness import browser
from tools.demo.kinds import OWNER, fill
from tools.demo.nova import Nova
from tools.pictures import environment

WIDTH = 1160

# The picture ends with this part of the page.
LAST = "section[aria-labelledby=cells-title]"

# The text down to there.
TEXT = """
const last = document.querySelector(arguments[0]);
const parts = [document.querySelector("header"), ...last.parentElement.children];
const seen = parts.slice(0, parts.indexOf(last) + 1);
return seen.map((each) => each.innerText).join("\\n");
"""

BOTTOM = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"

# Pixels below that part.
MARGIN = 24

SIGNATURE = b"\x89PNG\r\n\x1a\n"

KEYWORD = b"Description\0\0\0\0\0"

MASKS = {
    r"\d\d \w{3} \d{4} \d\d:\d\d(:\d\d)?": "TIME",
    # Buttons and headings may be wrapped.
    r"\s+": " ",
}


def page(folder: Path) -> str:
    """Return the report of the demo's cloud, with one row to decide about.

    The cloud is in *folder*, which the page does not name.
    """
    nova = Nova(folder)
    made = fill(nova)
    for column, value in OWNER.items():
        nova.run("cell1", f"UPDATE instances SET {column} = '{value}'")
    [_, decided] = next(kind.uuids for kind in made if kind.outcome == "conflict")
    nova.run("cell1", f"UPDATE instances SET deleted = id WHERE uuid = '{decided}'")
    cellmap(folder, "upgrade", "--cell", "all")
    # Else the page depends on the time that the upgrade took.
    nova.run("api", "UPDATE cellmap_journal SET started_at = '2026-03-14 02:00:00'")
    report = cellmap(folder, "report")
    report.check_returncode()
    return report.stdout.replace(str(folder.resolve()), "demo")


def cellmap(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the nova.conf in *home*."""
    return subprocess.run(
        [Path(sys.executable).with_name("cellmap"), *words],
        env=environment(home),
        check=False,
        capture_output=True,
        text=True,
    )


def picture() -> bytes:
    """Return the PNG of the page, with its text."""
    with TemporaryDirectory() as name, browser.opened() as opened:
        file = Path(name) / "report.html"
        file.write_text(page(Path(name)))
        opened.command("Emulation.setScrollbarsHidden", hidden=True)
        opened.open(file, width=WIDTH)
        height = opened.run(BOTTOM, LAST) + MARGIN
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        taken = opened.command(
            "Page.captureScreenshot", clip=clip, captureBeyondViewport=True
        )
        return with_text(base64.b64decode(taken["data"]), opened.run(TEXT, LAST))


def with_text(png: bytes, text: str) -> bytes:
    """Return *png* with *text* as its description, in as few bytes as possible."""
    first, *rest, last = chunks(png)
    pixels = zlib.decompress(b"".join(data for kind, data in rest if kind == b"IDAT"))
    described = (b"iTXt", KEYWORD + text.encode())
    parts = [first, described, (b"IDAT", zlib.compress(pixels, 9)), last]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each part of a PNG."""
    at = len(SIGNATURE)
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8 : at + 8 + size]
        at += size + 12


def words(png: bytes) -> str:
    """Return the text of a picture, with times masked."""
    [text] = (
        data.removeprefix(KEYWORD).decode()
        for kind, data in chunks(png)
        if kind == b"iTXt"
    )
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text)
    return text


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(picture())
