"""Upgrade several cells, a canary first, and print one summary.

Submit the work on each cell to an executor, which runs it on this host (``processes``)
or on a cluster (``dask``).
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
    mappings: Sequence[CellMapping], settings: Settings, canary: str | None
) -> Sequence[CellMapping]:
    """Return the one cell that the selector *canary* names, or nothing for None.

    A missing canary is an error, also if ``missing`` is ``skip``. Raises BadOption for
    the selector ``all``, and the errors of ``nova.cells.find``.
    """
    if canary is None:
        return ()
    if canary == ALL:
        raise BadOption("canary", canary, "name one cell")
    return find(mappings, replace(settings, selector=canary))


def in_turn(
    mappings: Sequence[CellMapping],
    first: Sequence[CellMapping],
    start: Callable[[Sequence[CellMapping]], list[Report]],
) -> list[Report]:
    """Call *start* for the cells in *first*; if all end with 0, call it for the rest.

    Otherwise each of the rest gets a report with the error CanaryFailed.
    """
    canary = [mapping for mapping in mappings if mapping in first]
    rest = [mapping for mapping in mappings if mapping not in first]
    ended = start(canary)
    if code := worst(ended):
        error = CanaryFailed(canary=canary[0], code=code)
        return ended + [failed(mapping, error) for mapping in rest]
    return ended + start(rest)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hold the work of a command, and the selectors of its cells.

    *load* reads the settings. *start* does the work for some cells. *done* returns True
    if a cell whose recorded revision is the argument needs no work. The *canary* is
    the selector of the cell that must end with 0 before the others begin.
    """

    load: Callable[[], Settings]
    start: Callable[[Sequence[CellMapping], Identities], list[Report]]
    done: Callable[[str | None], bool]
    selectors: Sequence[str]
    canary: str | None


def run_fleet(task: Task, *, as_json: bool) -> int:
    """Do *task* for its cells and print a summary; return the gravest exit code.

    A cell that fails does not stop the others. The database of a cell that needs no
    work is not opened.
    """
    reports: list[Report] = []
    error = run.guard(lambda stopping: reports.extend(each(task, stopping)))
    return emit(reports, as_json=as_json, together=True, error=error, text=summary)


def each(task: Task, stopping: Stopping) -> list[Report]:
    """Do *task* for each cell that needs work; return the reports of all its cells."""
    settings = task.load()
    if settings.time_limit is not None:
        stopping.limit(settings.time_limit)
    with run.opened_api(settings, stopping) as api:
        known = read(api)
        first = find_canary(known, settings, task.canary)
        mappings = choose(known, settings, task.selectors, first=first)
        stamps = versions.all_stamps(api)
        stamped = {uuid: stamp.revision for uuid, stamp in stamps.items()}
        behind = [
            mapping for mapping in mappings if not task.done(stamped.get(mapping.uuid))
        ]
        rest = [mapping for mapping in mappings if mapping not in behind]
        lost = lasting.outlived(api, rest, stamps, settings, stopping)
        behind += [mapping for mapping in rest if mapping.uuid in lost]
        identities = Identities(
            api=api, mappings=known, settings=settings, stopping=stopping
        )
    done = [
        Report(cell=mapping.uuid, name=mapping.name, revision=stamped.get(mapping.uuid))
        for mapping in mappings
        if mapping not in behind
    ]
    if done:
        say(f"{len(done)} of {len(mappings)} cells have nothing left to do")

    ended = in_turn(behind, first, lambda some: task.start(some, identities))
    for report in ended:
        # A cell that was not opened has no revision in its report.
        report.revision = report.revision or stamped.get(report.cell or "")
    place = {mapping.uuid: number for number, mapping in enumerate(mappings)}
    return sorted(done + ended, key=lambda report: place[report.cell or ""])


def summary(reports: Sequence[Report]) -> list[str]:
    """Return the lines of the table of the cells that had work."""
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
    mappings: Sequence[CellMapping],
    settings: Settings,
    selectors: Sequence[str],
    *,
    first: Sequence[CellMapping],
) -> list[CellMapping]:
    """Return the cells in *first*, then those that *selectors* name, each one once.

    Raises the errors of ``run.find_cells``.
    """
    chosen = {mapping.id: mapping for mapping in first}
    for selector in selectors:
        found = run.find_cells(mappings, replace(settings, selector=selector))
        chosen |= {mapping.id: mapping for mapping in found}
    return list(chosen.values())


# Seconds between two checks of the signals and of the time limit.
TICK = 0.05

# Seconds for the current batches after a signal. su and runuser kill after 2 s.
PATIENCE = 1.2


class Workers(Executor, ABC):
    """Define an executor whose running calls can be stopped.

    The names are those of ``ProcessPoolExecutor`` in Python 3.14. The caller submits at
    most *max_workers* calls at a time.
    """

    max_workers = sys.maxsize

    def cancel_queued(self) -> None:
        """Cancel the calls that have not begun."""

    @abstractmethod
    def terminate_workers(self) -> None:
        """Let each call that has begun end after its current batch."""

    @abstractmethod
    def kill_workers(self) -> None:
        """End all calls without waiting for their current batches."""

    @abstractmethod
    def explain(self, mapping: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose call ended with *error*."""


def finish(
    mappings: Sequence[CellMapping],
    submit: Callable[[CellMapping], Future[Report]],
    workers: Workers,
    stopping: Stopping,
) -> list[Report]:
    """Submit the call of every cell; return the reports when all calls have ended.

    After a signal all calls are stopped. After the time limit no further call begins.
    """
    waiting = deque(mappings)
    pending: dict[Future[Report], CellMapping] = {}
    reports: list[Report] = []
    stopped = kill_at = None
    while waiting or pending:
        try:
            stopping.check_limits()
        except Stopped as error:
            stopped = error
            reports += [failed(mapping, error) for mapping in waiting]
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
            mapping = waiting.popleft()
            pending[submit(mapping)] = mapping
        wait(pending, TICK, FIRST_COMPLETED)
        for future in [future for future in pending if future.done()]:
            reports.append(received(future, pending.pop(future), workers, stopped))
    return reports


def failed(mapping: CellMapping, error: CellmapError) -> Report:
    """Return the report of a cell whose only result is an *error*."""
    report = Report(cell=mapping.uuid, name=mapping.name)
    report.end(error)
    return report


def received(
    future: Future[Report],
    mapping: CellMapping,
    workers: Workers,
    stopped: Stopped | None,
) -> Report:
    """Return the report of a call that has ended, or a report of its error."""
    try:
        report = future.result()
    # A worker of a cluster may raise any class, such as ImportError for this package.
    except Exception as error:  # noqa: BLE001
        cancelled = stopped if isinstance(error, CancelledError) else None
        return failed(mapping, cancelled or workers.explain(mapping, error))
    report.name = mapping.name
    return report
