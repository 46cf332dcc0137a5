"""Implement ``cellmap report``, which writes one HTML page about the cells."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import history
from cellmap_migrations.bookkeeping.history import History
from cellmap_migrations.cell.cell import make_cell
from cellmap_migrations.cli import common, fleet, report_cells, status
from cellmap_migrations.common.errors import CellmapError, Stopped
from cellmap_migrations.common.sentences import NoReport
from cellmap_migrations.nova.cells import ALL, read
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.nova.tables import utcnow
from cellmap_migrations.operations.findings import MOST, Findings, examine
from cellmap_migrations.output import files
from cellmap_migrations.output.html.model import Decision, Page
from cellmap_migrations.output.html.timeline import make_timeline
from cellmap_migrations.output.report import tell
from cellmap_migrations.run import guard, opened_api, work_on

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from oslo_config import cfg

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.output.html.model import Timeline

    State = dict[str, Any]

    # What became of the comparison of each cell, by the uuid of the cell.
    Results = Mapping[str, Findings | CellmapError]


SUMMARY = "Write an HTML page about the cells: state, rows to decide about, speed."

EXAMPLE = "Example: cellmap report -o report.html"

# The most cells whose batches are drawn.
CHARTS = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cells, the file and the comparison."""
    parser.add_argument(
        "--cell",
        action="append",
        default=[],
        help="uuid or name of a cell; local: the cell with the database of [database] "
        "connection; may be repeated (default: all)",
    )
    parser.add_argument(
        "-o",
        "--output-file",
        metavar="FILE",
        help="replace this file by the page, as a whole or not at all (default: "
        "write the page to stdout)",
    )
    parser.add_argument(
        "--no-compare",
        action="store_true",
        help="do not compare the cells with their mappings; read the journal only",
    )


def run(conf: cfg.ConfigOpts) -> int:
    """Write the page, and return the exit code: 0 whatever the page says."""
    lines: list[str] = []

    def keep(content: bytes) -> None:
        lines.extend(content.decode().splitlines())

    def work(stopping: Stopping) -> None:
        render, name = renderer(), conf.command.output_file
        with files.replacing(name) if name else nullcontext(keep) as write:
            write(render(collect(conf, stopping)).encode())

    return tell(lines, guard(work))


def renderer() -> Callable[[Page], str]:
    """Return the function that renders a page; raise NoReport without the extra."""
    try:
        module = importlib.import_module("cellmap_migrations.output.html.page")
    except ModuleNotFoundError as error:
        raise NoReport(missing=error.name or "Jinja2") from error
    found: Callable[[Page], str] = module.render
    return found


def collect(conf: cfg.ConfigOpts, stopping: Stopping) -> Page:
    """Return the content of the page. A cell that is down is no error."""
    settings = common.load(conf, ALL, read_only=True)
    with opened_api(settings, stopping) as api:
        known = read(api)
        chosen = conf.command.cell or [ALL]
        mappings = fleet.choose(known, settings, chosen, first=())
        states = status.of_cells(mappings, settings, api, stopping)
        histories = history.of_cells(api)
        identities = Identities(
            api=api, mappings=known, settings=settings, stopping=stopping
        )
        compared = not conf.command.no_compare
        results = compare(mappings, states, identities) if compared else {}
        cells = [
            report_cells.summarize(
                state,
                histories.get(state["cell"], History()),
                results.get(state["cell"]),
            )
            for state in states
        ]
        return Page(
            written=utcnow(),
            api=api.what,
            compared=compared,
            # The cells that need somebody come first.
            cells=sorted(cells, key=lambda cell: cell.good),
            decisions=decisions(mappings, results),
            timelines=timelines(api, mappings, histories),
            versions=report_cells.versions(),
            servers=report_cells.servers(api.retry(api.server), states),
            settings=report_cells.options(settings),
        )


def compare(
    mappings: Sequence[CellMapping], states: Sequence[State], identities: Identities
) -> Results:
    """Compare each cell whose database answers with its mappings, as ``check`` does.

    Raises Stopped at a signal.
    """
    results: dict[str, Findings | CellmapError] = {}

    def keep(cell: Cell) -> None:
        results[cell.mapping.uuid] = examine(cell)

    for mapping, state in zip(mappings, states, strict=True):
        if state["reachable"]:
            cell = make_cell(mapping, identities)
            work_on(cell, keep)
            if isinstance(cell.report.error, Stopped):
                raise cell.report.error
            if cell.report.error:
                results[mapping.uuid] = cell.report.error
    return results


def decisions(mappings: Sequence[CellMapping], results: Results) -> list[Decision]:
    """Return the rows that an operator decides about, up to MOST of all cells."""
    rows = [
        Decision(
            cell=mapping.name or mapping.uuid,
            kind=row.kind,
            uuid=row.uuid,
            why=row.why,
            command=row.command,
        )
        for mapping in mappings
        if isinstance(found := results.get(mapping.uuid), Findings)
        for row in found.rows
    ]
    return rows[:MOST]


def timelines(
    api: Database,
    mappings: Sequence[CellMapping],
    histories: Mapping[str, History],
) -> list[Timeline]:
    """Return the walks of the CHARTS cells whose batches are the newest."""
    newest = sorted(
        (
            (past.last.last_batch, number)
            for number, mapping in enumerate(mappings)
            if (past := histories.get(mapping.uuid)) and past.last
        ),
        reverse=True,
    )
    found = (
        make_timeline(
            mappings[number].name or mappings[number].uuid,
            history.batches(api, mappings[number].uuid),
        )
        for _, number in newest[:CHARTS]
    )
    return [timeline for timeline in found if timeline]
