"""Sum up for ``cellmap report`` what is known about a cell, and what it ran with."""

from __future__ import annotations

import platform
from collections import Counter
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.cli import status
from cellmap_migrations.comparing.differences import Kind
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.options import OPTIONS
from cellmap_migrations.databases import dialects
from cellmap_migrations.nova.rules import WRITTEN, Outcome
from cellmap_migrations.operations.findings import Findings
from cellmap_migrations.operations.merge_rows import MERGE
from cellmap_migrations.operations.repair import REPAIR
from cellmap_migrations.output.html.model import CellSummary, Lost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.bookkeeping.history import History
    from cellmap_migrations.common.errors import CellmapError
    from cellmap_migrations.config.settings import Settings

    State = Mapping[str, Any]


# Batches under these names prove no revision.
NO_WALK = (REPAIR, MERGE)

# Outcomes of instances that need no mapping.
NO_NEED = (Outcome.HIDDEN, Outcome.PLACEHOLDER)

# Outcomes of instances without a mapping that nova can use.
UNUSABLE = (Outcome.CONFLICT, Outcome.UNRESOLVED, Outcome.REJECTED)

# The libraries whose versions matter, with the drivers of all databases.
LIBRARIES = (
    *("alembic", "SQLAlchemy", "oslo.config", "oslo.db", "Jinja2", "leather"),
    *dialects.drivers(),
)


def summarize(
    state: State, past: History, found: Findings | CellmapError | None
) -> CellSummary:
    """Return the summary of a cell.

    *state* is that of ``status``. *found* is the result of the comparison, or the error
    that prevented it, or None.
    """
    outcomes = last_walk(past)
    compared = isinstance(found, Findings)
    complete = state["state"] == "complete"
    problems = [state["lost"], state["reason"]]
    if isinstance(found, Findings):
        problems += found.doubts
    elif found:
        problems.append(str(found))
    return CellSummary(
        uuid=state["cell"],
        name=state["name"] or state["cell"],
        revision=state["revision"],
        state=state["state"],
        database=status.database_text(state),
        problem="; ".join(filter(None, problems)),
        outcomes=outcomes,
        rows_per_second=state["rows_per_second"],
        seconds_left=state["seconds_left"],
        runner=state["runner"] or "",
        proved_at=state["proved_at"] and utc_time(state["proved_at"]),
        compared=compared,
        **(
            compared_numbers(found, past, complete=complete)
            if isinstance(found, Findings)
            else walked_numbers(outcomes if complete else Counter())
        ),
    )


def compared_numbers(
    found: Findings, past: History, *, complete: bool
) -> dict[str, Any]:
    """Return the numbers of a cell that was compared."""
    command = f"cellmap {'repair' if complete else 'upgrade'} --cell {found.selector}"
    now = found.lost.total()
    return {
        "instances": found.instances,
        "needing": found.needing,
        "mapped": found.mapped,
        "undecided": found.undecided,
        "correctable": found.correctable,
        "correction": "first see Problems below" if found.doubts else command,
        "lost": Lost(
            before=now + written(past), now=now, after=found.lost[Kind.REJECTED]
        ),
    }


def walked_numbers(outcomes: Counter[str]) -> dict[str, Any]:
    """Return the numbers of a cell that was walked to its end, and not compared."""
    if not outcomes:
        return {}
    needing = outcomes.total() - sum(outcomes[each.value] for each in NO_NEED)
    unusable = sum(outcomes[each.value] for each in UNUSABLE)
    return {
        "instances": outcomes.total(),
        "needing": needing,
        "mapped": needing - unusable,
    }


def last_walk(past: History) -> Counter[str]:
    """Return the counts by outcome since the last downgrade or reset."""
    counts: Counter[str] = Counter()
    for run in past.runs:
        if run.rewound:
            counts.clear()
        elif run.revision not in NO_WALK:
            counts.update({each.value: run.counts[each.value] for each in Outcome})
    return +counts


def written(past: History) -> int:
    """Return the number of instances to which the runs gave a mapping that stayed."""
    count = 0
    for run in past.runs:
        if run.rewound and run.counts[REMOVED]:
            count = 0
        elif run.revision != MERGE:
            count += sum(run.counts[each.value] for each in WRITTEN)
    return count


def utc_time(text: str) -> datetime:
    """Return the time of a text of ``status``, without its time zone UTC."""
    return datetime.fromisoformat(text.removesuffix("Z"))


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the libraries."""
    found = {
        "cellmap-migrations": nova_conf.version(),
        "Python": platform.python_version(),
    }
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def servers(api: str, states: Sequence[State]) -> dict[str, list[str]]:
    """Return the databases of each server version: *api*, then the cells'."""
    found = {api: ["API database"]}
    for state in states:
        if state["server"]:
            names = found.setdefault(state["server"], [])
            names.append(state["name"] or state["cell"])
    return found


def options(settings: Settings) -> dict[str, str]:
    """Return the options of ``[cellmap]`` as text, by name; no connection is one."""
    values = {option.dest: getattr(settings, option.dest) for option in OPTIONS}
    return {name: as_text(value) for name, value in values.items()}


def as_text(value: object) -> str:
    """Return the value of an option as text."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value}"
