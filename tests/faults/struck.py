"""A cell to which something happens, and what must be true when it is over."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished, Running
from tests.harness.books import HEAD, assert_books_balance, kept, total, walked
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside

BATCH = 10

# Every so many of a cell's first servers, nova has mapped one rightly, one to no cell
# and one to another cell than the one that holds it.
STEP, NONE, ELSEWHERE = 20, 7, 13

RUNS = 3


class Struck:
    """A cell of *rows* servers, of which nova has mapped some, beside another cell.

    Its runs commit *batch* rows at a time. The fast way of the last three quarters,
    where nothing is mapped yet, is disturbed as well as the careful one before.
    """

    def __init__(self, cloud: Cloud, rows: int, *, batch: int = BATCH) -> None:
        self.cloud = cloud
        cloud.configure(cellmap={"batch_rows_min": batch, "batch_rows_max": batch})
        self.cell, self.other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
        self.servers = self.cell.add_instances(rows)
        some = self.servers[: rows // 4]
        self.others = self.other.add_instances(STEP)
        cloud.map_to(self.other.id, self.others)
        cloud.map_to(self.cell.id, some[::STEP])
        cloud.map_to(None, some[NONE::STEP])
        cloud.map_to(self.other.id, some[ELSEWHERE::STEP])
        self.sums = {
            "filled": len(some[NONE::STEP]),
            "moved": len(some[ELSEWHERE::STEP]),
            "mapped": rows - len(cloud.mappings()) + len(self.others),
        }
        ours = set(some)
        self.mappings = {
            uuid: replace(row, cell_id=self.cell.id) if uuid in ours else row
            for uuid, row in cloud.mappings().items()
        }
        self.instances = self.rows()

    def rows(self) -> dict[str, Any]:
        """Return both cells' servers of the beginning, as they are now."""
        found = {}
        for cell in (self.other, self.cell):
            with cell.engine.connect() as connection:
                rows = connection.execute(sa.select(cell.instances))
                found.update({row.uuid: row for row in rows})
        return {uuid: found.get(uuid) for uuid in (*self.servers, *self.others)}

    def run(self, **x: str) -> Finished:
        """Upgrade in a process of its own."""
        return self.cloud.alembic("upgrade", "head", cell="cell1", x=x)

    def start(self, **x: str) -> Running:
        """Start an upgrade in a process of its own."""
        return self.cloud.start("upgrade", "head", cell="cell1", x=x)

    @property
    def port(self) -> int:
        """Return the port of the API database's server."""
        assert self.cloud.url.port
        return self.cloud.url.port

    def lead_to(self, port: int, **arguments: str) -> None:
        """Let runs find the API database on another *port*."""
        url = self.cloud.url.set(port=port).update_query_dict(arguments)
        self.cloud.configure(api_database={"connection": text(url)})

    def read_from(self, url: sa.URL) -> None:
        """Let runs find the cell's database at *url*."""
        table = self.cloud.tables["cell_mappings"]
        where = table.update().filter_by(uuid=self.cell.uuid)
        self.cloud.execute(where.values(database_connection=text(url)))

    def finish(self, *codes: int) -> list[int]:
        """Run again, if need be, until a run ends with 0; return all the *codes*."""
        again = range(0 if 0 in codes else RUNS)
        ended = list(codes)
        for _ in again:
            run = alembic_inside(self.cloud, "upgrade", "head", cell="cell1")
            ended.append(run.code)
            if run.code == 0:
                break
        return ended

    def assert_right(self) -> None:
        """Check that all is mapped once, and that nothing of nova's was harmed."""
        cloud, cell = self.cloud, self.cell
        mappings = cloud.mappings()
        batches = walked(cloud, cell)
        checked = alembic_inside(cloud, "check", cell="cell1")

        assert (checked.code, checked.err) == (0, "")
        assert {uuid: mappings.get(uuid) for uuid in self.mappings} == self.mappings
        assert {mappings[uuid].cell_id for uuid in self.servers} == {cell.id}
        assert self.rows() == self.instances
        sums = {name: total(batches, name) for name in self.sums}
        assert {**sums, "mapped": kept(batches)} == self.sums
        assert cloud.versions() == {cell.uuid: HEAD}
        assert_books_balance(cloud, cell, among=self.servers)
