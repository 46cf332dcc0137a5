"""Read the code blocks and tables of README.rst and of the pages in docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

README = ROOT / "README.rst"

CONTRIBUTING = ROOT / "CONTRIBUTING.rst"

DOCS = ROOT / "docs"

# As the index has them.
NAMES = re.findall(r"^   ([a-z0-9-]+)$", (DOCS / "index.rst").read_text(), re.MULTILINE)

PAGES = [README, *(DOCS / f"{name}.rst" for name in NAMES)]

# Its commands run one after the other: tests/promises/test_tutorial.py.
TUTORIAL = DOCS / "tutorial.rst"

RULER = re.compile(r"=+( +=+)+")


def section(page: Path, title: str) -> str:
    """Return the text of a page below a title, up to the next title of any level."""
    titles = re.compile(r"^(.+)\n([=~-])\2+$", re.MULTILINE)
    found = [*titles.finditer(page.read_text())]
    place = next(number for number, each in enumerate(found) if each[1] == title)
    ends = [*(each.start() for each in found), None]
    return page.read_text()[found[place].end() : ends[place + 1]]


def blocks(language: str, text: str | None = None) -> list[str]:
    """Return the code blocks in a language, of all pages or of a *text*.

    Without their indentation. All pages are those but the tutorial.
    """
    pattern = rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)"
    pages = [page for page in PAGES if page != TUTORIAL]
    texts = [page.read_text() for page in pages] if text is None else [text]
    found = [
        block for each in texts for block in re.findall(pattern, each, re.MULTILINE)
    ]
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


def commands(text: str | None = None) -> list[str]:
    """Return every command of the pages, or of a *text*, in their order."""
    found = [re.sub(r" *\\\n +", " ", block) for block in blocks("console", text)]
    lines = [line for block in found for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def table(heading: str, page: Path = README) -> dict[str, str]:
    """Return the first two columns of the table whose first heading is *heading*."""
    first_two = (row[:2] for row in rows(heading, page)[1:])
    return {name.strip("`"): text.strip("`") for name, text in first_two if name}


def rows(heading: str, page: Path) -> list[list[str]]:
    """Return the lines of the table whose first heading is *heading*, as cells."""
    lines = page.read_text().splitlines()
    top = next(
        number
        for number, line in enumerate(lines)
        if line.startswith(f"{heading} ") and RULER.fullmatch(lines[number - 1])
    )
    ends = [match.span() for match in re.finditer("=+", lines[top + 1])]
    end = next(n for n in range(top + 2, len(lines)) if RULER.fullmatch(lines[n]))
    found = [lines[top], *lines[top + 2 : end]]
    return [[line[slice(*end)].strip() for end in ends] for line in found]


def sql(database: str) -> list[str]:
    """Return the statements of the block whose comment names *database*."""
    block = next(b for b in blocks("sql") if b.startswith(f"-- {database}\n"))
    statements = block.partition("\n")[2].split(";")
    return [statement.strip() for statement in statements if statement.strip()]
