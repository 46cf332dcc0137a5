"""Look at whatever of a page needs it, before a transaction is opened for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.copying import pages, write
from cellmap_migrations.copying.judge import judge

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.batches import Work
    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.copying.plans import Plan


def prepare(cell: Cell, plan: Plan, page: Page, *, looks: bool) -> Work:
    """Return what writes a page; *looks* for mappings of its plain rows only if asked.

    The rest of the page is looked at in any case.
    """
    already = 0
    if looks and page.plain:
        page, already = pages.without_mapped(cell, plan, page)
    return partial(
        write.write_page,
        backend=cell.api.backend,
        page=page,
        columns=["instance_uuid", *plan.columns],
        already=already,
        verdicts=judge(cell, plan, page.rest),
        cell_id=cell.mapping.id,
    )
