"""A cloud of any size, and the same start for all that is measured on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import METADATA
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.servers import Server
from tests.harness.cloud import Cloud
from tests.harness.newer import backend_of

# How each server makes numbers and uuids without a client.
NUMBERS = {
    "mysql": "seq_1_to_{rows}",
    "mysql9": "(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n "
    "WHERE seq < {rows}) SELECT seq FROM n) AS numbers",
    "postgresql": "generate_series(1, {rows}) AS numbers(seq)",
    "sqlite": "(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n "
    "WHERE seq < {rows}) SELECT seq FROM n)",
}

UUID = {
    # Not UUID(): that one grows with the time, which flatters every index.
    "mysql": "LOWER(CONCAT_WS('-', HEX(RANDOM_BYTES(4)), HEX(RANDOM_BYTES(2)), "
    "HEX(RANDOM_BYTES(2)), HEX(RANDOM_BYTES(2)), HEX(RANDOM_BYTES(6))))",
    "postgresql": "gen_random_uuid()::text",
    "sqlite": "LOWER(HEX(RANDOMBLOB(4)) || '-' || HEX(RANDOMBLOB(2)) || '-' || "
    "HEX(RANDOMBLOB(2)) || '-' || HEX(RANDOMBLOB(2)) || '-' || HEX(RANDOMBLOB(6)))",
}

CREATED = {
    "mysql": "'2015-10-15' + INTERVAL seq SECOND",
    "postgresql": "timestamp '2015-10-15' + seq * interval '1 second'",
    "sqlite": "DATETIME('2015-10-15', seq || ' seconds') || '.000000'",
}

FALSE = {"mysql": "0", "postgresql": "FALSE", "sqlite": "0"}

INSTANCES = (
    "INSERT INTO instances (uuid, created_at, updated_at, launched_at, project_id, "
    "user_id, vm_state, deleted, hidden, display_name, hostname, host, node, "
    "memory_mb, vcpus, root_gb, ephemeral_gb, instance_type_id, image_ref, "
    "reservation_id, availability_zone) "
    "SELECT {uuid}, {created}, {created}, {created}, "
    "'5d1f2c9a7b364e0f8a6c3b2d1e0f4' || (seq % 500), "
    "'c0ffee0a1b2c4d3e9f8a7b6c5d4e3' || (seq % 2000), "
    "CASE WHEN seq % 4 = 0 THEN 'deleted' ELSE 'active' END, "
    "CASE WHEN seq % 4 = 0 THEN seq ELSE 0 END, {false}, "
    "'server-' || seq, 'server-' || seq, 'compute-' || (seq % 300), "
    "'compute-' || (seq % 300), 2048, 1, 20, 0, 1, "
    "'0c2b4f6e-9d1a-4c3b-8e7f-5a6d7c8b9e0f', 'r-' || seq, 'nova' FROM {numbers}"
)

# A server that still writes what was before gets no fair start.
REST_SECONDS = 2.0

DIRTY = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A cloud with one cell of *rows* instances, one in four deleted.

    *database* is a key of SERVERS.
    """

    cloud: Cloud
    cell: Cell
    server: Server
    database: str
    rows: int

    @property
    def backend(self) -> str:
        """Return the name of the dialect: sqlite, mysql or postgresql."""
        return self.cloud.url.get_backend_name()

    def fresh(self) -> None:
        """Empty the API database, let the server come to rest, and read the cell."""
        names = {*sa.inspect(self.cloud.engine).get_table_names()}
        for name in METADATA.tables.keys() & names:
            self.cloud.sql(f"DROP TABLE {name}")
        if self.backend == "sqlite":
            self.cloud.sql("DELETE FROM instance_mappings")
        else:
            self.cloud.sql("TRUNCATE TABLE instance_mappings")
        self.rest()
        with self.cell.engine.connect() as connection:
            read = "SELECT SUM(LENGTH(display_name)) FROM instances"
            connection.exec_driver_sql(read)

    def rest(self) -> None:
        """Return when the server has written what it holds in memory only."""
        if self.backend == "postgresql":
            with self.server.admin().connect() as connection:
                connection.exec_driver_sql("CHECKPOINT")
        elif self.backend == "mysql":
            self.rest_mysql()

    def rest_mysql(self) -> None:
        """Let MariaDB or MySQL write its pages, which it would put off for an hour."""
        pace = "SET GLOBAL innodb_max_dirty_pages_pct = {}, innodb_io_capacity = {}"
        with self.server.admin().connect() as connection:
            connection.exec_driver_sql(pace.format(0, 10_000))
            before, dirty = None, connection.exec_driver_sql(DIRTY).one()[1]
            # Pages of temporary tables stay as they are.
            while dirty not in ("0", before):
                time.sleep(REST_SECONDS)
                before = dirty
                dirty = connection.exec_driver_sql(DIRTY).one()[1]
            connection.exec_driver_sql(pace.format(90, 200))


@contextmanager
def cloud(server: Server, database: str, rows: int) -> Iterator[Bench]:
    """Make a cloud on a server that runs; it is gone afterwards."""
    made = Cloud(server.folder, lambda _: server, backend=backend_of(database))
    try:
        cell = made.add_cell("cell1")
        fill(cell, database, rows)
        yield Bench(cloud=made, cell=cell, server=server, database=database, rows=rows)
    finally:
        made.close()


def fill(cell: Cell, database: str, rows: int) -> None:
    """Insert instances, all inside the server."""
    backend = backend_of(database)
    sql = INSTANCES.format(
        uuid=UUID[backend],
        created=CREATED[backend],
        false=FALSE[backend],
        numbers=NUMBERS[database].format(rows=rows),
    )
    with cell.engine.connect() as connection:
        if backend == "mysql":
            connection.exec_driver_sql(
                "SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"
            )
        if database == "mysql9":
            connection.exec_driver_sql("SET cte_max_recursion_depth = 4294967295")
        connection.execute(sa.text(sql))
        connection.commit()
    # Outside a transaction, which VACUUM refuses.
    plain = cell.engine.execution_options(isolation_level="AUTOCOMMIT")
    with plain.connect() as connection:
        word = {"mysql": "ANALYZE TABLE", "postgresql": "VACUUM ANALYZE"}
        connection.exec_driver_sql(f"{word.get(backend, 'ANALYZE')} instances")
