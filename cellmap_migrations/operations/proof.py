"""Prove that a revision keeps its promise, before Alembic may stamp it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import RowsLeft, Unasked
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.common.stderr import say
from cellmap_migrations.comparing.checksums import sides, totals
from cellmap_migrations.comparing.differences import COMPARED, Kind, Tally
from cellmap_migrations.comparing.mending import MAPPINGS, Mending

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan


def prove_mapped(batches: Batches, plan: Plan) -> None:
    """Compare until nothing is left to map; raise unless nothing is left over.

    Rows committed late behind the walk, or mended since they were rejected, are
    mapped now. Mappings that this package inserted for instances that were archived
    meanwhile are removed; others without an instance are only counted.

    Raises RowsLeft, Unasked or Unsettled.
    """
    cell = batches.cell
    columns = [name for name in COMPARED if name in plan.columns]
    if equal(cell, plan, columns):
        cell.equal_columns.update(columns)
        conclude(cell, Tally())
        return
    left = Mending(batches, plan, kinds=MAPPINGS).run()
    conclude(cell, left)
    if strangers := left.counts[Kind.ORPHAN] + left.counts[Kind.ONLY_HIDDEN]:
        say(
            f"cell {cell.mapping}: {strangers:,} mappings have no instance here, and "
            "were not made by this package; when all cells are upgraded, cellmap "
            "repair removes those that no other cell has"
        )


def equal(cell: Cell, plan: Plan, compared: Sequence[str]) -> bool:
    """Say whether the cell and its mappings are the same at a first look.

    Without chunks, which cost as much as the checksums; that is enough for a cell that
    was just copied.
    """
    ours, theirs = sides(cell, plan, compared)
    total, other = totals(cell, ours, theirs, chunked=False)
    return total == other


def prove_column(batches: Batches, plan: Plan, kind: Kind) -> None:
    """Make a column agree with the cell; raise unless it does.

    Where the cell has NULL and the mapping has a value, nothing can be mended: that
    stops nothing. Raises Unsettled while nova is at work on some of the rows.
    """
    cell = batches.cell
    only = frozenset({kind})
    left = Mending(batches, plan, kinds=only, compared=[kind.value]).run()
    if kind is Kind.QUEUED_FOR_DELETE and left.counts[kind]:
        raise Unsettled(cell=cell.mapping, count=left.counts[kind])


def conclude(cell: Cell, left: Tally) -> None:
    """Tell the report what is left; raise what stops the stamp."""
    kinds = (Kind.CONFLICT, Kind.UNRESOLVED, Kind.REJECTED)
    cell.report.set_leftovers(
        {kind.value: left.counts[kind] for kind in kinds},
        left.listing((*kinds, Kind.IN_FLIGHT)),
    )
    stopping = [Kind.CONFLICT, Kind.IN_FLIGHT]
    if cell.settings.on_reject == "fail":
        stopping.append(Kind.REJECTED)
    refuse(cell, left, stopping)


def refuse(cell: Cell, left: Tally, kinds: Collection[Kind]) -> None:
    """Raise RowsLeft if any of *kinds* is left, or Unasked for a cell that is down."""
    name = str(cell.mapping)
    if any(left.counts[kind] for kind in kinds):
        found = [kind for kind in (*kinds, Kind.UNRESOLVED) if left.counts[kind]]
        counts = ", ".join(f"{left.counts[kind]:,} {kind.value}" for kind in found)
        raise RowsLeft(name, counts)
    if count := left.counts[Kind.UNRESOLVED]:
        raise Unasked(name, count, ", ".join(cell.others.silent()))
