"""Prove, before Alembic stamps a revision, that the revision has done its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import RowsLeft, Unasked
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.common.stderr import say
from cellmap_migrations.comparing.checksums import sides, totals
from cellmap_migrations.comparing.differences import COMPARED, Kind
from cellmap_migrations.comparing.mending import MAPPINGS, Mending
from cellmap_migrations.comparing.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan


def prove_mapped(batches: Batches, plan: Plan) -> None:
    """Compare and mend until every instance has its mapping.

    Instances that the walk missed, or rejected, are mapped now. Mappings that this
    package inserted are removed if their instance was archived meanwhile. Other
    mappings without an instance are counted.

    Raises RowsLeft, Unasked or Unsettled if a difference must block the stamp.
    """
    cell = batches.cell
    columns = [name for name in COMPARED if name in plan.columns]
    if has_equal_checksums(cell, plan, columns):
        cell.equal_columns.update(columns)
        conclude(cell, Tally())
        return
    left = Mending(batches, plan, kinds=MAPPINGS).mend_all()
    conclude(cell, left)
    if foreign := left.counts[Kind.ORPHAN] + left.counts[Kind.ONLY_HIDDEN]:
        say(
            f"cell {cell.mapping}: {foreign:,} mappings have no instance here, and "
            "were not made by this package; when all cells are upgraded, cellmap "
            "repair removes each one whose instance no other cell has"
        )


def has_equal_checksums(cell: Cell, plan: Plan, compared: Sequence[str]) -> bool:
    """Return True if the instances and their mappings have equal checksums.

    One checksum per side, because grouping by chunk doubles the time. A cell that was
    just copied is nearly always equal.
    """
    ours, theirs = sides(cell, plan, compared)
    total, other = totals(cell, ours, theirs, chunked=False)
    return total == other


def prove_column(batches: Batches, plan: Plan, kind: Kind) -> None:
    """Make the column of *kind* agree with the cell.

    A mapping with a value whose instance has NULL stays, and does not block the stamp.
    Raises Unsettled while nova is at work on some of the rows.
    """
    cell = batches.cell
    only = frozenset({kind})
    left = Mending(batches, plan, kinds=only, compared=[kind.value]).mend_all()
    if kind is Kind.QUEUED_FOR_DELETE and left.counts[kind]:
        raise Unsettled(cell=cell.mapping, count=left.counts[kind])


def conclude(cell: Cell, left: Tally) -> None:
    """Record the remaining differences; raise if one of them must block the stamp."""
    kinds = (Kind.CONFLICT, Kind.UNRESOLVED, Kind.REJECTED)
    cell.report.set_leftovers(
        {kind.value: left.counts[kind] for kind in kinds},
        left.listing((*kinds, Kind.IN_FLIGHT)),
    )
    blocking = [Kind.CONFLICT, Kind.IN_FLIGHT]
    if cell.settings.on_reject == "fail":
        blocking.append(Kind.REJECTED)
    refuse_leftovers(cell, left, blocking)


def refuse_leftovers(cell: Cell, left: Tally, kinds: Collection[Kind]) -> None:
    """Raise RowsLeft if differences of *kinds* are left.

    Raises Unasked if the only ones left are mapped to a cell that is down.
    """
    name = str(cell.mapping)
    if any(left.counts[kind] for kind in kinds):
        shown = [kind for kind in (*kinds, Kind.UNRESOLVED) if left.counts[kind]]
        counts = ", ".join(f"{left.counts[kind]:,} {kind.value}" for kind in shown)
        raise RowsLeft(name, counts)
    if count := left.counts[Kind.UNRESOLVED]:
        raise Unasked(name, count, ", ".join(cell.others.silent()))
