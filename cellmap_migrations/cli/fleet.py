"""Upgrade several cells, a canary first, and print one summary.

Each cell is a call that an executor of ``concurrent.futures`` carries out: one of
``processes`` on this host, or one of ``dask`` on a cluster.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellmap_migrations import run
from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.common.errors import BadOption, CellmapError, Stopped
from cellmap_migrations.common.sentences import CanaryFailed
from cellmap_migrations.common.stderr import say
from cellmap_migrations.nova.cells import ALL, find, read
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.operations import lasting
from cellmap_migrations.output import tables
from cellmap_migrations.output.report import Report, emit, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.nova.cells import CellMapping


def find_canary(
    cells: Sequence[CellMapping], settings: Settings, canary: str | None
) -> Sequence[CellMapping]:
    """Return the cell that *canary* names, or none without one.

    It may not be missing: nothing would be known of how the others will fare. Raises
    BadOption for all, and the errors of ``run.find_cells``.
    """
    if canary is None:
        return ()
    if canary == ALL:
        raise BadOption("canary", canary, "name one cell")
    return find(cells, replace(settings, cell=canary))


def in_turn(
    cells: Sequence[CellMapping],
    first: Sequence[CellMapping],
    start: Callable[[Sequence[CellMapping]], list[Report]],
) -> list[Report]:
    """Do what *start* does for those *first*, and for the rest if that ends well."""
    canary = [cell for cell in cells if cell in first]
    rest = [cell for cell in cells if cell not in first]
    ended = start(canary)
    if code := worst(ended):
        error = CanaryFailed(canary=canary[0], code=code)
        return ended + [failed(cell, error) for cell in rest]
    return ended + start(rest)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done, and for which cells.

    *start* does it for some cells, given the identities of all. *done* says of the
    revision of a cell, or None, whether nothing is left to do. The *canary* is another
    selector: the other cells begin when its cell has ended well.
    """

    load: Callable[[], Settings]
    start: Callable[[Sequence[CellMapping], Identities], list[Report]]
    done: Callable[[str | None], bool]
    selectors: Sequence[str]
    canary: str | None


def run_fleet(task: Task, *, as_json: bool) -> int:
    """Do *task* for its cells and print a summary; return the gravest exit code.

    A cell that fails does not stop the others. One that has nothing left to do is not
    opened.
    """
    reports: list[Report] = []
    error = run.guard(lambda stopping: reports.extend(each(task, stopping)))
    return emit(reports, as_json=as_json, together=True, error=error, text=summary)


def each(task: Task, stopping: Stopping) -> list[Report]:
    """Return a report for each cell; that of a cell without work never began."""
    settings = task.load()
    if settings.time_limit is not None:
        stopping.limit(settings.time_limit)
    with run.opened_api(settings, stopping) as api:
        known = read(api)
        first = find_canary(known, settings, task.canary)
        cells = choose(known, settings, task.selectors, first=first)
        stamps = versions.all_stamps(api)
        stamped = {uuid: stamp.revision for uuid, stamp in stamps.items()}
        behind = [cell for cell in cells if not task.done(stamped.get(cell.uuid))]
        rest = [cell for cell in cells if cell not in behind]
        lost = lasting.outlived(api, rest, stamps, settings, stopping)
        behind += [cell for cell in rest if cell.uuid in lost]
        identities = Identities(
            api=api, cells=known, settings=settings, stopping=stopping
        )
    done = [
        Report(cell=cell.uuid, name=cell.name, revision=stamped.get(cell.uuid))
        for cell in cells
        if cell not in behind
    ]
    if done:
        say(f"{len(done)} of {len(cells)} cells have nothing left to do")

    ended = in_turn(behind, first, lambda some: task.start(some, identities))
    for report in ended:
        # Its turn never came, or it could not look itself.
        report.revision = report.revision or stamped.get(report.cell or "")
    place = {cell.uuid: number for number, cell in enumerate(cells)}
    return sorted(done + ended, key=lambda report: place[report.cell or ""])


def summary(reports: Sequence[Report]) -> list[str]:
    """Return the table of the cells that were worked on."""
    return tables.lines(
        ("CELL", "REVISION", "OUTCOMES", "SECONDS", "EXIT CODE"),
        [
            (
                report.label,
                report.revision or "-",
                report.outcomes or "-",
                round(report.seconds, 1),
                report.code,
            )
            for report in reports
            if report.ended
        ],
    )


def choose(
    cells: Sequence[CellMapping],
    settings: Settings,
    selectors: Sequence[str],
    *,
    first: Sequence[CellMapping],
) -> list[CellMapping]:
    """Return *first* and the cells that *selectors* name, each of them once.

    Raises the errors of ``run.find_cells``.
    """
    chosen = {cell.id: cell for cell in first}
    for selector in selectors:
        found = run.find_cells(cells, replace(settings, cell=selector))
        chosen |= {cell.id: cell for cell in found}
    return list(chosen.values())


# Seconds between two looks at the signals and the time limit.
TICK = 0.05

# What the cells at work get of the two seconds after which su and runuser kill.
PATIENCE = 1.2


class Workers(Executor, ABC):
    """An executor whose calls can be told to end.

    ``concurrent.futures`` has this only in Python 3.14, for processes: the names are
    the same. The caller submits at most *max_workers* calls at a time.
    """

    max_workers = sys.maxsize

    def cancel_queued(self) -> None:
        """Cancel the calls that have not begun."""

    @abstractmethod
    def terminate_workers(self) -> None:
        """Tell the calls that have begun to end after the batch in hand."""

    @abstractmethod
    def kill_workers(self) -> None:
        """End all calls at once."""

    @abstractmethod
    def explain(self, cell: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose call ended without a report."""


def finish(
    cells: Sequence[CellMapping],
    submit: Callable[[CellMapping], Future[Report]],
    workers: Workers,
    stopping: Stopping,
) -> list[Report]:
    """Submit the call of every cell, and return its report when all have ended.

    A signal ends all calls; after the time limit no other call begins.
    """
    waiting = deque(cells)
    pending: dict[Future[Report], CellMapping] = {}
    reports: list[Report] = []
    stopped = kill_at = None
    while waiting or pending:
        try:
            stopping.check_limits()
        except Stopped as error:
            stopped = error
            reports += [failed(cell, error) for cell in waiting]
            waiting.clear()
            if not stopping.signal:
                workers.cancel_queued()
            elif kill_at is None:
                stopping.take_time()
                kill_at = time.monotonic() + PATIENCE
                workers.terminate_workers()
            elif time.monotonic() > kill_at:
                workers.kill_workers()
        while waiting and len(pending) < workers.max_workers:
            cell = waiting.popleft()
            pending[submit(cell)] = cell
        wait(pending, TICK, FIRST_COMPLETED)
        for future in [future for future in pending if future.done()]:
            reports.append(received(future, pending.pop(future), workers, stopped))
    return reports


def failed(cell: CellMapping, error: CellmapError) -> Report:
    """Return the report of a cell of which nothing but an *error* is known."""
    report = Report(cell=cell.uuid, name=cell.name)
    report.end(error)
    return report


def received(
    future: Future[Report],
    cell: CellMapping,
    workers: Workers,
    stopped: Stopped | None,
) -> Report:
    """Return the report of a call that has ended, or one of why it sent none."""
    try:
        report = future.result()
    # A worker of a cluster may raise anything, as when it cannot import this package.
    except Exception as error:  # noqa: BLE001
        cancelled = stopped if isinstance(error, CancelledError) else None
        return failed(cell, cancelled or workers.explain(cell, error))
    report.name = cell.name
    return report
