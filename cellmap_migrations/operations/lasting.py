"""Find out whether an upgraded cell still has its mappings.

It had them when its revision was recorded. Since then the cell's row of
``cell_mappings`` may have been deleted and created again, ``instance_mappings`` may
have been restored from a dump, or a downgrade may have been stopped.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.common.errors import CellmapError, TablesTooOld
from cellmap_migrations.common.stderr import say
from cellmap_migrations.copying import decide
from cellmap_migrations.nova.cells import ask_each
from cellmap_migrations.nova.tables import PLACEHOLDER, instances
from cellmap_migrations.operations.revisions import start_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cellmap_migrations.bookkeeping.versions import Stamp
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


def outlived(
    api: Database,
    mappings: Sequence[CellMapping],
    stamps: Mapping[str, Stamp],
    settings: Settings,
    stopping: Stopping,
) -> dict[str, str]:
    """Return why a recorded revision is no longer true, by the uuid of the cell.

    Cells that are not in *stamps* are left out. If a cell does not answer, its revision
    counts as true, and a warning is printed.
    """
    bounds = highest_mapped(api, mappings, stamps)
    asked = [mapping for mapping in mappings if mapping.uuid in bounds]
    question = partial(newest_mapped, bounds=bounds)
    answers = ask_each(asked, question, settings, stopping)
    reasons = emptied(api, asked, settings, stopping, bounds=bounds, answers=answers)
    return reasons | disowned(stamps, mappings)


def highest_mapped(
    api: Database, mappings: Sequence[CellMapping], stamps: Mapping[str, Stamp]
) -> dict[str, int]:
    """Return the highest mapped ``instances.id`` by the uuid of each upgraded cell.

    Cells that are not in *stamps* are left out, and so are the cells that
    ``disowned`` returns.
    """
    upgraded = stamps.keys() - disowned(stamps, mappings).keys()
    uuids = [mapping.uuid for mapping in mappings if mapping.uuid in upgraded]
    return journal.reached(api, uuids) if uuids else {}


def disowned(
    stamps: Mapping[str, Stamp], mappings: Sequence[CellMapping]
) -> dict[str, str]:
    """Return the reason by uuid for cells whose stamp names another cell's id, or none.

    The cell has a new row in ``cell_mappings``, or a downgrade of it was stopped.
    """
    return {
        mapping.uuid: "before a downgrade began to remove mappings, which did not end"
        if stamp.cell_id == versions.NO_CELL
        else f"for cell_mappings.id {stamp.cell_id}, and this cell now has id "
        f"{mapping.id}"
        for mapping in mappings
        if (stamp := stamps.get(mapping.uuid))
        and stamp.cell_id not in (None, mapping.id)
    }


# nova's archive removes an instance before its mapping. So a mapping counts as lost
# only if its instance is there at the next read. Each read may meet another archive.
READS = 3


def emptied(
    api: Database,
    mappings: Sequence[CellMapping],
    settings: Settings,
    stopping: Stopping,
    *,
    bounds: Mapping[str, int],
    answers: Mapping[int, str | CellmapError | None],
) -> dict[str, str]:
    """Return the reason by uuid for cells whose newest instance lost its mapping.

    Instances above the *bounds* of ``highest_mapped`` are left out. *answers* are the
    results of the first ``newest_mapped``, by ``cell_mappings.id``. A cell without a
    bound or without an answer is left out.
    """
    asked = [each for each in mappings if each.uuid in bounds and each.id in answers]
    question = partial(newest_mapped, bounds=bounds)
    reasons: dict[str, str] = {}
    before: dict[str, str] = {}
    for read in range(READS):
        if not asked:
            break
        if read:
            answers = ask_each(asked, question, settings, stopping)
        unmapped = without_mapping(api, asked, answers)
        reasons |= {
            cell_uuid: f"and instance {uuid}, which was mapped, has no mapping"
            for cell_uuid, uuid in unmapped.items()
            if before.get(cell_uuid) == uuid
        }
        before = unmapped
        doubtful = unmapped.keys() - reasons.keys()
        asked = [mapping for mapping in asked if mapping.uuid in doubtful]
    return reasons


def without_mapping(
    api: Database,
    mappings: Sequence[CellMapping],
    answers: Mapping[int, str | CellmapError | None],
) -> dict[str, str]:
    """Return the instances in *answers* without a mapping, by the uuid of the cell."""
    uuids: dict[str, str] = {}
    for mapping in mappings:
        answer = answers[mapping.id]
        if isinstance(answer, CellmapError):
            say(
                f"warning: cell {mapping} did not answer; whether its mappings are "
                f"still there is not known: {answer}"
            )
        elif answer:
            uuids[mapping.uuid] = answer
    if not uuids:
        return {}
    mapped = api.retry(partial(decide.find_mappings, api, [*uuids.values()]))
    fold = api.fold
    return {
        cell_uuid: uuid for cell_uuid, uuid in uuids.items() if fold(uuid) not in mapped
    }


# The newest instances of a cell, of which one must have a mapping.
NEWEST = 20


def newest_mapped(
    database: Database, mapping: CellMapping, bounds: Mapping[str, int]
) -> str | None:
    """Return the uuid of the newest instance that must have a mapping, or None.

    *bounds* has the highest ``instances.id`` to read, by the uuid of the cell; a cell
    without one is not read. Errors are not retried.
    """
    if mapping.uuid not in bounds:
        return None
    table, has_hidden = instances.c, "hidden" in database.columns_once(instances)
    rows = database.read_once(
        sa.select(
            table.uuid,
            table.project_id,
            table.user_id,
            table.hidden if has_hidden else sa.false().label("hidden"),
        )
        .where(table.id <= bounds[mapping.uuid])
        .order_by(table.id.desc())
        .limit(NEWEST)
    )
    return next((str(row.uuid) for row in rows if must_be_mapped(row)), None)


def must_be_mapped(row: Any) -> bool:
    """Return True if every walk gives the instance *row* a mapping."""
    known = None not in (row.uuid, row.project_id, row.user_id)
    return known and row.uuid != PLACEHOLDER and not row.hidden


def lost(cell: Cell) -> bool:
    """Return True, and print the reason, if the cell's revision is no longer true."""
    stamps = versions.all_stamps(cell.api)
    reasons = outlived(cell.api, [cell.mapping], stamps, cell.settings, cell.stopping)
    for reason in reasons.values():
        say(
            f"warning: cell {cell.mapping}: its revision was recorded {reason}; it is "
            "walked again from the start"
        )
    return bool(reasons)


def forget_outlived(cell: Cell) -> None:
    """Forget the revision of *cell* if it is no longer true: 0001 then runs again."""
    try:
        again = lost(cell)
    except TablesTooOld:
        tables.create_tables(cell.api)
        again = lost(cell)
    if again:
        start_over(cell)
