"""Draw a progress bar on a terminal.

A module of its own, because importing ``rich`` takes as long as connecting to a
database, and most runs have no terminal.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def possible() -> bool:
    """Return True if the terminal at stderr can move its cursor.

    On any other terminal rich draws nothing.
    """
    return not Console(file=sys.stderr).is_dumb_terminal


@contextmanager
def drawn(doing: str, length: int) -> Iterator[Callable[..., None]]:
    """Draw a bar, and yield a function that updates it.

    The function takes ``completed`` (up to *length*), ``rows`` (a text) and
    ``description`` (*doing* at first).
    """
    with Progress(
        # A name may look like rich's markup.
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        expand=True,
        transient=True,
    ) as progress:
        yield partial(progress.update, progress.add_task(doing, total=length, rows=""))
