"""Repeat one case, or one walk, by its name on the command line."""

from tests.interleavings.actions import PREFIXES
from tests.interleavings.crashes import WHERE, crash, crash_at
from tests.interleavings.edits import EDITS, edit_at, edit_row
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.operators import COMMANDS, interfere, interfere_at
from tests.interleavings.points import with_locks
from tests.interleavings.walks import walk

# Not one prefix after the other, but all that meet a statement in one run.
TOGETHER, LOCKED = "together", "together-locked"


def repeat(explorer: Explorer, number: int, names: str) -> Case:
    """Do before statement *number* what *names* says, and judge the end.

    *names* are prefixes separated by commas, a crash, a crash + prefixes, a command of
    an operator, or an edit of the cell's row.
    """
    kind, _, rest = names.partition("+")
    if kind in COMMANDS:
        return interfere(explorer, kind, number)
    if kind in EDITS:
        return edit_row(explorer, kind, number)
    if kind not in WHERE:
        kind, rest = "", names
    prefixes = [PREFIXES[name] for name in filter(None, rest.split(","))]
    if kind:
        return crash(explorer, kind, number, prefixes)
    return explorer.explore(number, prefixes)


def repeat_walk(explorer: Explorer, names: str) -> None:
    """Do what *names* says before each statement; record the failures."""
    kind, _, rest = names.partition("+")
    if kind in WHERE:
        crash_at(explorer, kind, together=rest == TOGETHER)
    elif kind in COMMANDS:
        interfere_at(explorer.points, explorer, kind)
    elif kind in EDITS:
        edit_at(explorer.points, explorer, kind)
    elif names in (TOGETHER, LOCKED):
        points = with_locks(explorer.points) if names == LOCKED else ()
        walk(explorer, explorer.prefixes, points, together=True)
    else:
        chosen = [PREFIXES[name] for name in filter(None, names.split(","))]
        walk(explorer, chosen or explorer.prefixes, together=False)
