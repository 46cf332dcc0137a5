"""A comparison that finds more rows than a page holds finds all of them."""

import json

from cellmap_migrations.comparing.chunks import PAGE
from tests.harness.books import total
from tests.harness.cloud import Cloud


def test_check_counts_more_than_a_page(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    rows = 2 * PAGE + PAGE // 2
    cell.add_instances(rows)

    finished = cloud.alembic("check", cell="cell1", x={"output": "json"})

    found = json.loads(finished.out)["differences"]
    assert finished.code == 3
    assert {kind: listed["count"] for kind, listed in found.items()} == {
        "unmapped": rows
    }


def test_revision_mends_more_than_a_page(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    rows = PAGE + PAGE // 2
    uuids = cell.add_instances(rows, vm_state="soft-delete")
    cloud.map_to(cell.id, uuids, queued_for_delete=False)

    finished = cloud.alembic("upgrade", "0002", cell="cell1")

    flags = [row.queued_for_delete for row in cloud.mappings().values()]
    assert (finished.code, flags) == (0, [True] * rows)
    assert total(cloud.journal(cell), "mended") == rows
