"""``alembic upgrade head`` from an empty table, beside others who copy the rows."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import sqlalchemy as sa

from benchmarks import nova
from benchmarks.archiver import archive
from benchmarks.cloud import Bench
from benchmarks.measure import Measured, alembic
from benchmarks.ratio import Ratio
from benchmarks.server_side import insert_select
from cellmap_migrations.testing.servers import Server

UPGRADE = "alembic upgrade head"
ARCHIVER = "pt-archiver"
IN_SERVER = "INSERT ... SELECT in the server"
# At least, times the speed of the peer.
TARGETS: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        (IN_SERVER, "mysql"): 0.9,
        (IN_SERVER, "mysql9"): 0.7,
        (IN_SERVER, "postgresql"): 0.9,
        (IN_SERVER, "sqlite"): 0.5,
        (ARCHIVER, "mysql"): 1.3,
    }
)


def copy(bench: Bench, source: str, repeats: int) -> tuple[list[Measured], list[Ratio]]:
    """Let each copy the cell, *repeats* times in turn; our mappings stay.

    Return our runs, and what they are beside those of the others.
    """
    peers: dict[str, Callable[[], float]] = {
        IN_SERVER: lambda: insert_select(bench, source)
    }
    if bench.database == "mysql":
        peers[ARCHIVER] = lambda: archive(bench)
    ours: list[Measured] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeats):
        for name, run in peers.items():
            bench.fresh()
            theirs[name].append(run())
            complete(bench)
        bench.fresh()
        ours.append(alembic(bench.cloud, "upgrade", "head"))
        complete(bench)
    return ours, [
        Ratio(
            name=UPGRADE,
            beside=name,
            database=bench.database,
            rows=bench.rows,
            unit="s",
            ours=[measured.seconds for measured in ours],
            theirs=found,
            target=TARGETS[name, bench.database],
        )
        for name, found in theirs.items()
    ]


def beside_nova(
    ours: list[Measured], rows: int, server: Server, nova_rows: int
) -> Ratio:
    """Return what our runs took for a row beside what nova takes, over *nova_rows*."""
    theirs = nova.seconds_a_row(server, nova_rows)
    return Ratio(
        name=UPGRADE,
        beside="nova-manage cell_v2 map_instances",
        database="mysql",
        rows=rows,
        unit="ms a row",
        ours=[measured.seconds / rows * 1000 for measured in ours],
        theirs=[seconds * 1000 for seconds in theirs],
        target=150,
    )


def complete(bench: Bench) -> None:
    """Raise unless every instance has a mapping: who copies less is no peer."""
    query = sa.select(sa.func.count()).select_from(bench.cloud.instance_mappings)
    with bench.cloud.engine.connect() as connection:
        found = connection.execute(query).scalar_one()
    if found != bench.rows:
        raise RuntimeError(f"{found} of {bench.rows} instances are mapped")
