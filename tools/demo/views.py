"""Show tables and commands, in colour on a terminal."""

from collections.abc import Sequence
from textwrap import wrap

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.demo.kinds import Kind
from tools.demo.nova import CELLS
from tools.demo.state import State

CONSOLE = Console(highlight=False, soft_wrap=True)
COLOURS = {
    "mapped": "green",
    "filled": "green",
    "moved": "green",
    "conflict": "red",
    "rejected": "red",
    "unresolved": "yellow",
}


def heading(text: str) -> None:
    """Begin a part of the demo."""
    CONSOLE.print(Text(f"\n\n== {text}", style="bold"))


def say(text: str) -> None:
    """Print a paragraph."""
    CONSOLE.print()
    for line in wrap(text, width=78):
        CONSOLE.print(Text(line))


def command(words: Sequence[str]) -> None:
    """Print a command on one line, as it can be typed."""
    CONSOLE.print(Text(f"\n$ {' '.join(words)}", style="bold cyan"))


def exit_code(code: int) -> None:
    """Print how a command ended."""
    CONSOLE.print(f"[{'green' if code == 0 else 'yellow'}]exit code {code}[/]")


def table(*columns: str) -> Table:
    """Return an empty table: its first column is text, the others are numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    return made


def lost(count: int) -> str:
    """Return a number of servers that answer 404."""
    return f"[red]{count:,}[/]" if count else "[dim]0[/]"


def cells(before: State, now: State) -> None:
    """Show every cell: what is in it, what is mapped, what answers 404."""
    made = table("cell", "instances", "mapped", "404 before", "404 now", "version")
    for cell in CELLS:
        if cell not in now.live:
            made.add_row(cell, "down", "", "", "", "")
            continue
        made.add_row(
            cell,
            f"{now.instances[cell]:,}",
            f"{now.mapped(cell):,}",
            lost(before.lost(cell)) if cell in before.live else "",
            lost(now.lost(cell)),
            now.versions.get(cell, "-"),
        )
    CONSOLE.print(made)


def kinds(made: Sequence[Kind], before: State, now: State, *, decided: bool) -> None:
    """Show the instances of cell1 by their kind, each with its outcome."""
    rows = table("instances of cell1", "rows", "404 before", "404 now", "outcome")
    for kind in made:
        outcome = kind.outcome_now(decided=decided)
        rows.add_row(
            kind.text,
            f"{kind.rows:,}",
            lost(before.lost_of(kind)),
            lost(now.lost_of(kind)),
            f"[{COLOURS.get(outcome, 'dim')}]{outcome}[/]",
        )
    CONSOLE.print(rows)
