"""Measure the latency of boots during a copy."""

import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from types import MappingProxyType

import sqlalchemy as sa

from benchmarks.cloud import Bench
from benchmarks.measure import alembic
from benchmarks.ratio import Ratio
from tests.harness.boots import Boot, Boots

# Until connections are open and caches warm.
WARM_SECONDS = 2.0

ALONE_SECONDS = 10.0

PERCENTILES: Mapping[str, Callable[[list[float]], float]] = MappingProxyType(
    {
        "p50": median,
        "p99": lambda times: quantiles(times, n=100, method="inclusive")[-1],
        "max": max,
    }
)


def felt(bench: Bench, repeats: int) -> list[Ratio]:
    """Boot servers alone and during a copy with defaults; count those that fail.

    They go to a cell of their own, whose instances no copy reads.
    """
    alone: list[float] = []
    during: list[float] = []
    failed: list[float] = []
    asked: list[float] = []
    other = bench.cloud.add_cell("cell2")
    for _ in range(repeats):
        bench.fresh()
        boots = Boots(bench.cloud, other)
        with boots.flowing():
            time.sleep(WARM_SECONDS)
            begin = time.monotonic()
            time.sleep(ALONE_SECONDS)
            copying = time.monotonic()
            alembic(bench.cloud, "upgrade", "head")
            end = time.monotonic()
        done = boots.done()
        failed.append(len(done) - booted(bench, other.id, done))
        asked.append(len(done))
        alone += [b.seconds * 1000 for b in done if begin <= b.asked < copying]
        during += [b.seconds * 1000 for b in done if copying <= b.asked < end]
    return [
        *(ratio(bench, name, during, alone) for name in PERCENTILES),
        Ratio(
            name="boots that failed",
            beside="boots",
            database=bench.database,
            rows=bench.rows,
            unit="",
            ours=failed,
            theirs=asked,
            cost=True,
            target=0,
        ),
    ]


def ratio(bench: Bench, name: str, during: list[float], alone: list[float]) -> Ratio:
    """Compare one percentile of the times."""
    found, usual = PERCENTILES[name](during), PERCENTILES[name](alone)
    return Ratio(
        name=f"boot during a copy, {name}",
        beside="boot",
        database=bench.database,
        rows=bench.rows,
        unit="ms",
        ours=[found],
        theirs=[usual],
        cost=True,
        # Twice, or 20 ms more, whichever is more.
        target=max(2.0, (usual + 20) / usual) if name == "p99" else None,
    )


def booted(bench: Bench, cell_id: int, boots: list[Boot]) -> int:
    """Return how many servers had no error and are in the cell that nova chose."""
    mappings = bench.cloud.instance_mappings
    query = sa.select(mappings.c.instance_uuid).where(mappings.c.cell_id == cell_id)
    with bench.cloud.engine.connect() as connection:
        mapped = set(connection.scalars(query))
    return sum(boot.error is None and boot.uuid in mapped for boot in boots)
