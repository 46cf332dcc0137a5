"""Find out whether the mappings of an upgraded cell are still there.

A recorded revision says that they were. Since then the cell's row of ``cell_mappings``
may have been deleted and created again, or ``instance_mappings`` restored from a dump.
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


# The newest instances of a cell, of which one must have a mapping.
NEWEST = 20

# nova's archive removes an instance first, and then its mapping. So a mapping is missed
# only if the instance is there at the next look. Each look may meet another archive.
LOOKS = 3


def outlived(
    api: Database,
    cells: Sequence[CellMapping],
    stamps: Mapping[str, Stamp],
    settings: Settings,
    stopping: Stopping,
) -> dict[str, str]:
    """Return why a recorded revision is not true any more, by the uuid of the cell.

    A cell that is not among *stamps* is left out. The revision of a cell that does not
    answer counts as true, with a warning.
    """
    found = renumbered(stamps, cells)
    rest = [cell for cell in cells if cell.uuid in stamps.keys() - found.keys()]
    return found | emptied(api, rest, settings, stopping)


def renumbered(
    stamps: Mapping[str, Stamp], cells: Sequence[CellMapping]
) -> dict[str, str]:
    """Return the cells whose row of ``cell_mappings`` was created again, and why."""
    return {
        cell.uuid: f"for cell_mappings.id {stamp.cell_id}, and this cell now has id "
        f"{cell.id}"
        for cell in cells
        if (stamp := stamps.get(cell.uuid)) and stamp.cell_id not in (None, cell.id)
    }


def emptied(
    api: Database, cells: Sequence[CellMapping], settings: Settings, stopping: Stopping
) -> dict[str, str]:
    """Return the *cells* whose newest instance has lost its mapping, and why.

    Instances that no batch in the journal has reached are not looked at.
    """
    bounds = journal.reached(api, [cell.uuid for cell in cells]) if cells else {}
    asked = [cell for cell in cells if cell.uuid in bounds]
    question = partial(newest, bounds=bounds)
    found: dict[str, str] = {}
    before: dict[str, str] = {}
    for _ in range(LOOKS):
        if not asked:
            break
        answers = ask_each(asked, question, settings, stopping)
        unmapped = without_mapping(api, asked, answers)
        found |= {
            cell: f"and instance {uuid}, which was mapped, has no mapping"
            for cell, uuid in unmapped.items()
            if before.get(cell) == uuid
        }
        before = unmapped
        asked = [c for c in asked if c.uuid in unmapped and c.uuid not in found]
    return found


def without_mapping(
    api: Database,
    cells: Sequence[CellMapping],
    answers: Mapping[int, str | CellmapError | None],
) -> dict[str, str]:
    """Return the uuids in *answers* that have no mapping, by the uuid of the cell."""
    uuids: dict[str, str] = {}
    for cell in cells:
        answer = answers[cell.id]
        if isinstance(answer, CellmapError):
            say(
                f"warning: cell {cell} did not answer; whether its mappings are still "
                f"there is not known: {answer}"
            )
        elif answer:
            uuids[cell.uuid] = answer
    mapped = (
        api.again(partial(decide.find_mappings, api, [*uuids.values()]))
        if uuids
        else {}
    )
    fold = api.fold
    return {cell: uuid for cell, uuid in uuids.items() if fold(uuid) not in mapped}


def newest(
    database: Database, cell: CellMapping, bounds: Mapping[str, int]
) -> str | None:
    """Return the uuid of the newest instance that must have a mapping, or None.

    *bounds* has the highest ``instances.id`` to look at, by the uuid of the cell. Does
    not retry.
    """
    table, has_hidden = instances.c, "hidden" in database.columns_now(instances)
    rows = database.read_once(
        sa.select(
            table.uuid,
            table.project_id,
            table.user_id,
            table.hidden if has_hidden else sa.false().label("hidden"),
        )
        .where(table.id <= bounds[cell.uuid])
        .order_by(table.id.desc())
        .limit(NEWEST)
    )
    return next((str(row.uuid) for row in rows if must_be_mapped(row)), None)


def must_be_mapped(row: Any) -> bool:
    """Return True if no outcome of a walk left the instance *row* without a mapping."""
    known = None not in (row.uuid, row.project_id, row.user_id)
    return known and row.uuid != PLACEHOLDER and not row.hidden


def lost(cell: Cell) -> bool:
    """Return True if the revision of *cell* is not true any more, and say why."""
    stamps = versions.all_stamps(cell.api)
    why = outlived(cell.api, [cell.mapping], stamps, cell.settings, cell.stopping)
    for reason in why.values():
        say(
            f"warning: cell {cell.mapping}: its revision was recorded {reason}; it is "
            "walked again from the start"
        )
    return bool(why)


def forget_outlived(cell: Cell) -> None:
    """Forget the revision of *cell* if it is not true any more: 0001 is done again."""
    try:
        again = lost(cell)
    except TablesTooOld:
        tables.create_tables(cell.api)
        again = lost(cell)
    if again:
        start_over(cell)
