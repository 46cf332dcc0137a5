"""Upgrade a cell again: one that is complete, and one whose run was killed."""

import time
from statistics import median

import sqlalchemy as sa

from benchmarks.cloud import Bench
from benchmarks.measure import alembic, module, options
from benchmarks.ratio import Ratio
from benchmarks.server_side import anti_join
from cellmap_migrations.common.errors import Stopped

# Seldom: whoever looks takes time from those who work.
LOOK_SECONDS = 0.2

WALKED = "SELECT SUM(rows_read) FROM cellmap_journal WHERE revision = '0001'"

A_BATCH = "SELECT AVG(seconds) FROM cellmap_journal WHERE revision = '0001'"


def nothing_to_do(bench: Bench, repeats: int) -> Ratio:
    """Upgrade a complete cell, beside an alembic that only says its version."""
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(alembic(bench.cloud, "upgrade", "head").seconds)
        theirs.append(module(bench.cloud, ["alembic", "--version"]).seconds)
    return Ratio(
        name="nothing to do",
        beside="alembic --version",
        database=bench.database,
        rows=bench.rows,
        unit="s",
        ours=ours,
        theirs=theirs,
        cost=True,
        target=1.2,
        plus=0.5,
    )


def check(bench: Bench, source: str, repeats: int) -> Ratio:
    """Check a complete cell, beside a join that only finds unmapped instances."""
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(anti_join(bench, source))
        ours.append(alembic(bench.cloud, "check").seconds)
    return Ratio(
        name="alembic check",
        beside="LEFT JOIN in the server",
        database=bench.database,
        rows=bench.rows,
        unit="s",
        ours=ours,
        theirs=theirs,
    )


def resumed(bench: Bench, repeats: int) -> Ratio:
    """Kill a run half way and resume it, in turn with runs that nobody kills.

    It may take a second start and one batch longer.
    """
    ours, theirs, starts = [], [], []
    for _ in range(repeats):
        starts.append(started(bench))
        bench.fresh()
        theirs.append(alembic(bench.cloud, "upgrade", "head").seconds)
        ours.append(killed_and_resumed(bench))
    return Ratio(
        name="killed half way and resumed",
        beside="not killed",
        database=bench.database,
        rows=bench.rows,
        unit="s",
        ours=ours,
        theirs=theirs,
        cost=True,
        target=1.0,
        plus=median(starts) + float(scalar(bench, A_BATCH)),
    )


def started(bench: Bench) -> float:
    """Return the seconds of a run that stops after one row.

    One with nothing to do does not look at the two databases before it begins.
    """
    bench.fresh()
    one = ("-x", "max_rows=1", "upgrade", "head")
    return alembic(bench.cloud, *one, code=Stopped.code).seconds


def killed_and_resumed(bench: Bench) -> float:
    """Do both; return the seconds of the two runs."""
    bench.fresh()
    begin = time.monotonic()
    killed = bench.cloud.run("-m", "alembic", *options(bench.cloud), "upgrade", "head")
    while killed.running() and walked(bench) < bench.rows / 2:
        time.sleep(LOOK_SECONDS)
    killed.kill9()
    before = time.monotonic() - begin
    after = alembic(bench.cloud, "upgrade", "head").seconds
    again = walked(bench) - bench.rows
    if again:
        raise RuntimeError(f"{again} instances were walked twice")
    return before + after


def walked(bench: Bench) -> int:
    """Return how many rows the committed batches have read."""
    if not sa.inspect(bench.cloud.engine).has_table("cellmap_journal"):
        return 0
    return int(scalar(bench, WALKED) or 0)


def scalar(bench: Bench, sql: str) -> float:
    """Ask the API database for a number."""
    with bench.cloud.engine.connect() as connection:
        found: float = connection.exec_driver_sql(sql).scalar_one()
    return found
