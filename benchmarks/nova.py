"""``nova-manage cell_v2 map_instances``, in a cloud that nova itself built."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

from benchmarks.cloud import fill
from benchmarks.measure import command
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import NEWEST, Nova
from tests.harness.manage import NovaCloud

REPEATS = 2

# Nova keeps one for each instance, and reads it with the instance.
INFO_CACHES = (
    "INSERT INTO instance_info_caches (created_at, instance_uuid, network_info, "
    "deleted) SELECT created_at, uuid, '[]', deleted FROM instances"
)


def seconds_a_row(server: Server, rows: int) -> list[float]:
    """Let nova map *rows* instances a few times; return seconds for one each.

    Its start-up is taken off: what a cell without instances takes.
    """
    with nova(server) as made:
        cell = made.add_cell("cell1")
        start_up = median(map_instances(made, cell) for _ in range(REPEATS))
        fill(cell, "mysql", rows)
        with cell.engine.begin() as connection:
            connection.exec_driver_sql(INFO_CACHES)
        return [(map_instances(made, cell) - start_up) / rows for _ in range(REPEATS)]


def map_instances(made: NovaCloud, cell: Cell) -> float:
    """Map the instances of a cell, of which none is mapped; return the seconds."""
    made.sql("TRUNCATE TABLE instance_mappings")
    config = ["--config-file", str(made.config_file)]
    what = ["cell_v2", "map_instances", "--cell_uuid", cell.uuid]
    return command([str(NEWEST.bin / "nova-manage"), *config, *what])


@contextmanager
def nova(server: Server) -> Iterator[NovaCloud]:
    """Let nova make its databases on a server; they are gone afterwards."""
    with (
        closing(Nova(NEWEST)) as process,
        closing(NovaCloud(server.folder, lambda _: server, process)) as made,
    ):
        yield made
