"""Measure everything, and print one table.

``python -m benchmarks [--rows N] [--database NAME]... [--write PATH]``; see --help.
With ``--mending WORD`` it measures corrections, and nothing else.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks import (
    again,
    booting,
    copying,
    memory,
    mending,
    report,
    server_side,
)
from benchmarks.cloud import cloud
from benchmarks.ratio import Ratio
from benchmarks.servers import SERVERS, serving, settings


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    option = parser.add_argument
    option("--rows", type=int, default=100_000, help="instances of the cell")
    option("--nova-rows", type=int, default=5_000, help="instances that nova maps")
    option("--repeats", type=int, default=3, help="the median of so many counts")
    option("--memory-rows", type=int, nargs="*", default=[], help="sizes of cells")
    option("--database", action="append", choices=list(SERVERS), help="default: all")
    option(
        "--mending",
        metavar="WORD",
        help="measure only corrections, of the kinds whose names contain WORD: "
        f"{', '.join(mending.KINDS)}",
    )
    option("--write", type=Path, help="a JSON file for the results")
    return parser.parse_args()


def measure(
    chosen: argparse.Namespace, database: str, found: dict[str, dict[str, str]]
) -> Iterator[Ratio]:
    """Yield what is measured on one database; its settings go to *found*."""
    with serving(database) as server:
        found[database] = settings(server, database)
        with cloud(server, database, chosen.rows) as bench:
            source = server_side.source(bench)
            if chosen.mending is not None:
                yield from mending.measured(
                    bench, source, chosen.mending, chosen.repeats
                )
                return
            ours, ratios = copying.copy(bench, source, chosen.repeats)
            yield from ratios
            yield again.nothing_to_do(bench, chosen.repeats)
            yield again.check(bench, source, chosen.repeats)
            if database == "sqlite":
                return
            yield again.resumed(bench, chosen.repeats)
            yield from booting.felt(bench, source, chosen.repeats)
        if database == "mysql":
            yield copying.beside_nova(ours, chosen.rows, server, chosen.nova_rows)
        yield from memory.peaks(server, database, chosen.memory_rows)


def main() -> None:
    """Measure, print, write."""
    chosen = arguments()
    databases = chosen.database or list(SERVERS)
    facts = report.versions(databases, beside=chosen.mending is None)
    ratios: list[Ratio] = []
    found: dict[str, dict[str, str]] = {}
    for database in databases:
        for ratio in measure(chosen, database, found):
            report.progress(ratio)
            ratios.append(ratio)
    report.show(ratios, facts)
    if chosen.write:
        report.write(chosen.write, ratios, facts, found)


if __name__ == "__main__":
    main()
