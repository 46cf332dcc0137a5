"""Draw the rooms of the package and their imports.

``python -m tools.architecture docs/architecture.svg``
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "cellmap_migrations"
ROOT = "__init__"

WIDTH, HEIGHT = 150, 28
COLUMN, ROW = 190, 54
MARGIN = 12

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" font-family="monospace" font-size="13">
<title>Rooms of cellmap_migrations and their imports</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" \
markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
"""
ARROW = (
    '<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#555" '
    'marker-end="url(#tip)"/>\n'
)
BOX = (
    '<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="4" '
    'fill="#eef3fa" stroke="#36c"/>\n'
    '<text x="{x}" y="{y}" text-anchor="middle">{label}</text>\n'
)


def room(path: Path) -> str:
    """Return the room that a module belongs to: a folder or a module of the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the full names that a module imports, also for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def rooms() -> dict[str, set[str]]:
    """Return the rooms that each room imports, without itself."""
    found: dict[str, set[str]] = {
        room(path): set() for path in sorted(PACKAGE.rglob("*.py"))
    }
    for path in PACKAGE.rglob("*.py"):
        for name in imported(path):
            package, _, rest = name.partition(".")
            if package == PACKAGE.name:
                target = rest.partition(".")[0]
                found[room(path)].add(target if target in found else ROOT)
    return {name: targets - {name} for name, targets in found.items()}


def below(name: str) -> set[str]:
    """Return every room that *name* imports, directly or through others."""
    return set().union(*({each} | below(each) for each in rooms()[name]))


def arrows() -> dict[str, set[str]]:
    """Return the imports of each room that it does not also have through others."""
    return {
        name: {
            target
            for target in targets
            if not any(target in below(other) for other in targets)
        }
        for name, targets in rooms().items()
    }


def levels() -> dict[str, int]:
    """Return the number of rooms on the longest way from each room to the bottom."""
    found: dict[str, int] = {}
    # Raises CycleError if rooms import each other.
    for name in TopologicalSorter(rooms()).static_order():
        found[name] = max((found[each] + 1 for each in rooms()[name]), default=0)
    return found


def places() -> dict[str, tuple[int, int]]:
    """Return the column and the level of each room.

    Column 0 has the longest way from the top to the bottom.
    """
    level = levels()
    way = [max(sorted(level, reverse=True), key=lambda name: level[name])]
    while targets := rooms()[way[-1]]:
        way.append(max(sorted(targets), key=lambda name: level[name]))
    found = {name: (0, level[name]) for name in way}
    for name in sorted(level.keys() - found.keys()):
        column = 1
        while (column, level[name]) in found.values():
            column += 1
        found[name] = (column, level[name])
    return found


def svg() -> str:
    """Return the figure: boxes from the top level to level 0, and arrows."""
    found = places()
    top = max(level for _, level in found.values())
    columns = max(column for column, _ in found.values()) + 1
    x = {name: MARGIN + WIDTH // 2 + COLUMN * place[0] for name, place in found.items()}
    y = {name: MARGIN + ROW * (top - place[1]) for name, place in found.items()}
    parts = [
        HEAD.format(
            width=2 * MARGIN + WIDTH + COLUMN * (columns - 1),
            height=2 * MARGIN + HEIGHT + ROW * top,
        )
    ]
    for name, targets in sorted(arrows().items()):
        for target in sorted(targets):
            line = {"x1": x[name], "y1": y[name] + HEIGHT, "x2": x[target]}
            parts.append(ARROW.format(**line, y2=y[target]))
    for name in sorted(found):
        box = {"left": x[name] - WIDTH // 2, "top": y[name], "x": x[name]}
        size = {"width": WIDTH, "height": HEIGHT, "y": y[name] + 18}
        parts.append(BOX.format(**box, **size, label=name))
    return "".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg())
