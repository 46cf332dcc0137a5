"""One instance of every kind that the upgrade of a cell may meet, by its outcome."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.testing.rows import CELL0, now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cellmap_migrations.testing.cell import Cell


def add(
    cell: Cell, to: Cell | None, *, deleted: bool = False, **columns: object
) -> str:
    """Add an instance that is mapped *to* a cell, or to none as during its boot."""
    uuid = cell.add_instance(deleted=deleted, **columns)
    cell.api.map(uuid, to)
    return uuid


def mapped(cell: Cell, _: Cell) -> str:
    """Add one without a mapping."""
    return cell.add_instance()


def already(cell: Cell, _: Cell) -> str:
    """Add one as nova leaves it after its boot."""
    return add(cell, cell)


def filled(cell: Cell, _: Cell) -> str:
    """Add one whose mapping never got a cell, and that nothing builds any more."""
    return add(cell, None)


def in_flight(cell: Cell, _: Cell) -> str:
    """Add one that nova is booting."""
    uuid = add(cell, None, created_at=now(), vm_state="building")
    cell.api.request_build(uuid)
    return uuid


def hidden(cell: Cell, other: Cell) -> str:
    """Add the hidden half of a resize across cells; *other* has the one that runs."""
    return add(cell, other, uuid=other.add_instance(), hidden=True)


def placeholder(cell: Cell, _: Cell) -> str:
    """Add the row that nova's fill_virtual_interface_list left in every cell."""
    return cell.add_instance(uuid=CELL0, project_id=CELL0, user_id=CELL0, deleted=True)


def elsewhere(cell: Cell, other: Cell) -> str:
    """Add the deleted copy of one that lives in *other* and is mapped there."""
    return add(cell, other, uuid=other.add_instance(), deleted=True)


def moved(cell: Cell, other: Cell) -> str:
    """Add one that is mapped to *other*, which has never seen it."""
    return add(cell, other)


def conflict(cell: Cell, other: Cell) -> str:
    """Add one that lives in both cells."""
    return add(cell, other, uuid=other.add_instance())


def unresolved(cell: Cell, _: Cell) -> str:
    """Add one that is mapped to a new cell, which cannot be asked."""
    return add(cell, cell.api.add_cell("down", connection=None))


def rejected(cell: Cell, _: Cell) -> str:
    """Add one that cannot have a mapping, because it has no project."""
    return cell.add_instance(project_id=None)


BUILDERS: Mapping[Outcome, Callable[[Cell, Cell], str]] = MappingProxyType(
    {
        Outcome.MAPPED: mapped,
        Outcome.ALREADY: already,
        Outcome.FILLED: filled,
        Outcome.IN_FLIGHT: in_flight,
        Outcome.HIDDEN: hidden,
        Outcome.PLACEHOLDER: placeholder,
        Outcome.ELSEWHERE: elsewhere,
        Outcome.MOVED: moved,
        Outcome.CONFLICT: conflict,
        Outcome.UNRESOLVED: unresolved,
        Outcome.REJECTED: rejected,
    }
)
