"""Measure the latency of boots during a copy."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median, quantiles
from types import MappingProxyType

import sqlalchemy as sa

from benchmarks.cloud import Bench
from benchmarks.copying import IN_SERVER, UPGRADE
from benchmarks.measure import alembic
from benchmarks.ratio import Ratio
from benchmarks.server_side import insert_select
from cellmap_migrations.testing.cell import Cell
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


# The default of the option, and no limit.
LIMITS = ("2.0", "none")

# Copied while boots go on, at least this many times the speed of the server alone.
BESIDE_BOOTS = 0.6


@dataclass
class Felt:
    """Hold milliseconds of boots, counts of boots, and seconds of copies."""

    alone: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    quiet_copies: list[float] = field(default_factory=list)
    in_server: list[float] = field(default_factory=list)


def felt(bench: Bench, source: str, repeats: int) -> Iterator[Ratio]:
    """Boot servers alone and during a copy, with each of LIMITS.

    They go to a cell of their own, whose instances no copy reads.
    """
    other = bench.cloud.add_cell("cell2")
    for limit in LIMITS:
        found = Felt()
        for _ in range(repeats):
            bench.fresh()
            found.in_server.append(insert_select(bench, source))
            bench.fresh()
            quiet = alembic(bench.cloud, *limited_to(limit), "upgrade", "head")
            found.quiet_copies.append(quiet.seconds)
            bench.fresh()
            boot(bench, other, limit, found)
        yield from ratios(bench, limit, found)


def limited_to(limit: str) -> tuple[str, str]:
    """Return the arguments with which a run has this limit."""
    return "-x", f"max_slowdown={limit}"


def boot(bench: Bench, other: Cell, limit: str, found: Felt) -> None:
    """Boot servers alone and during one copy; add what was measured to *found*."""
    boots = Boots(bench.cloud, other)
    with boots.flowing():
        time.sleep(WARM_SECONDS)
        begin = time.monotonic()
        time.sleep(ALONE_SECONDS)
        copying = time.monotonic()
        alembic(bench.cloud, *limited_to(limit), "upgrade", "head")
        end = time.monotonic()
    done = boots.done()
    found.copies.append(end - copying)
    found.failed.append(len(done) - booted(bench, other.id, done))
    found.asked.append(len(done))
    found.alone += [b.seconds * 1000 for b in done if begin <= b.asked < copying]
    found.during += [b.seconds * 1000 for b in done if copying <= b.asked < end]


def ratios(bench: Bench, limit: str, found: Felt) -> Iterator[Ratio]:
    """Yield what was measured with one limit."""
    make = partial(Ratio, database=bench.database, rows=bench.rows)
    limited, to = limit != "none", f"max_slowdown={limit}"
    for name, percentile in PERCENTILES.items():
        yield make(
            name=f"boot during a copy, {name}, {to}",
            beside="boot",
            unit="ms",
            ours=[percentile(found.during)],
            theirs=[percentile(found.alone)],
            cost=True,
            target=float(limit) if limited and name == "p99" else None,
        )
    yield make(
        name=f"boots that failed, {to}",
        beside="boots",
        unit="",
        ours=found.failed,
        theirs=found.asked,
        cost=True,
        target=0,
    )
    for copies, when, target in (
        (found.copies, "beside boots", BESIDE_BOOTS if limited else None),
        (found.quiet_copies, "without boots", None),
    ):
        yield make(
            name=f"{UPGRADE} {when}, {to}",
            beside=IN_SERVER,
            unit="s",
            ours=copies,
            theirs=found.in_server,
            target=target,
        )


def booted(bench: Bench, cell_id: int, boots: list[Boot]) -> int:
    """Return how many servers had no error and are in the cell that nova chose."""
    mappings = bench.cloud.instance_mappings
    query = sa.select(mappings.c.instance_uuid).where(mappings.c.cell_id == cell_id)
    with bench.cloud.engine.connect() as connection:
        mapped = set(connection.scalars(query))
    return sum(boot.error is None and boot.uuid in mapped for boot in boots)
