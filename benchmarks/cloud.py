"""A cloud of any size on a server that the benchmark starts."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests.nova.cell import Cell
from tests.nova.cloud import Cloud
from tests.nova.servers import BACKENDS

# How each server makes numbers and uuids without a client.
NUMBERS = {
    "mysql": "seq_1_to_{rows}",
    "postgresql": "generate_series(1, {rows}) AS numbers(seq)",
}
UUID = {
    # Not UUID(): that one grows with the time, which flatters every index.
    "mysql": "LOWER(CONCAT_WS('-', HEX(RANDOM_BYTES(4)), HEX(RANDOM_BYTES(2)), "
    "HEX(RANDOM_BYTES(2)), HEX(RANDOM_BYTES(2)), HEX(RANDOM_BYTES(6))))",
    "postgresql": "gen_random_uuid()::text",
}


@contextmanager
def cloud(backend: str, rows: int) -> Iterator[tuple[Cloud, Cell]]:
    """Yield a cloud with one cell of *rows* instances, one in four deleted."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server = BACKENDS[backend](folder)
        stack.callback(server.close)
        server.start()
        made = Cloud(folder, lambda _: server, backend=backend)
        stack.callback(made.close)
        cell = made.add_cell("cell1")
        fill(cell, backend, rows)
        yield made, cell


def fill(cell: Cell, backend: str, rows: int) -> None:
    """Insert instances, all inside the server."""
    numbers = NUMBERS[backend].format(rows=rows)
    false = "FALSE" if backend == "postgresql" else "0"
    with cell.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO instances (uuid, created_at, updated_at, project_id, "
                "user_id, vm_state, deleted, hidden, display_name, hostname, host, "
                "node, memory_mb, vcpus, root_gb, ephemeral_gb, instance_type_id) "
                f"SELECT {UUID[backend]}, '2015-10-15 12:30:00', "
                "'2015-10-15 12:30:00', "
                "CONCAT('5d1f2c9a7b364e0f8a6c3b2d1e0f4', MOD(seq, 500)), "
                "CONCAT('c0ffee0a1b2c4d3e9f8a7b6c5d4e3', MOD(seq, 2000)), "
                "CASE WHEN MOD(seq, 4) = 0 THEN 'deleted' ELSE 'active' END, "
                "CASE WHEN MOD(seq, 4) = 0 THEN seq ELSE 0 END, "
                f"{false}, CONCAT('server-', seq), CONCAT('server-', seq), "
                "'compute-1', 'compute-1', 2048, 1, 20, 0, 1 "
                f"FROM {numbers}"
            )
        )
        analyze = "ANALYZE TABLE" if backend == "mysql" else "ANALYZE"
        connection.execute(sa.text(f"{analyze} instances"))
