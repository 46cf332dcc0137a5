"""The peak memory of an upgrade, for cells of several sizes."""

from collections.abc import Iterator, Sequence

from benchmarks.cloud import cloud
from benchmarks.measure import alembic
from benchmarks.ratio import Ratio
from cellmap_migrations.testing.servers import Server

MOST = 120.0
MORE = 10.0


def peaks(server: Server, database: str, sizes: Sequence[int]) -> Iterator[Ratio]:
    """Yield each peak beside the most that is allowed, and the highest beside all."""
    found: dict[int, float] = {}
    for rows in sizes:
        with cloud(server, database, rows) as bench:
            found[rows] = alembic(bench.cloud, "upgrade", "head").peak
        yield ratio(database, rows, found[rows], ("what is allowed", MOST, 0.0))
    if found:
        most, least = (some(found, key=found.__getitem__) for some in (max, min))
        beside = f"that of {least:,} rows, the lowest"
        yield ratio(database, most, found[most], (beside, found[least], MORE))


def ratio(
    database: str, rows: int, peak: float, limit: tuple[str, float, float]
) -> Ratio:
    """Compare a peak with what it may be: beside what, MiB, and how many more."""
    beside, other, plus = limit
    return Ratio(
        name="peak memory",
        beside=beside,
        database=database,
        rows=rows,
        unit="MiB",
        ours=[peak],
        theirs=[other],
        cost=True,
        target=1.0,
        plus=plus,
    )
