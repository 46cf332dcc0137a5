"""Where the cells of an upgrade are worked on: here, or on a Dask cluster."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellmap_migrations.cli import common, fleet
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import NoDask
from cellmap_migrations.config.settings import FILE_OPTIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from oslo_config import cfg

    from cellmap_migrations import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.output.report import Report


# Options of the command line that each cell's run has to know.
FOR_EACH_CELL = ("max_rows", "accept_orphans")

PROCESSES, DASK = "processes", "dask"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the executor and its scheduler."""
    parser.add_argument(
        "--executor",
        choices=(PROCESSES, DASK),
        default=PROCESSES,
        help="dask: one task a cell on the workers of a Dask cluster, each of which "
        "reads its own nova.conf (default: processes of this host)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="scheduler of the Dask cluster, as in tcp://controller:8786",
    )


def load(conf: cfg.ConfigOpts) -> Settings:
    """Return the settings; refuse a cluster that cannot be used.

    Raises BadOption or NoDask, and what common.load raises.
    """
    command = conf.command
    if command.executor == DASK:
        if not command.scheduler:
            why = "add --scheduler tcp://host:port or tls://host:port"
            raise BadOption("executor", DASK, why)
        if command.jobs > 1:
            raise BadOption("jobs", command.jobs, "Dask does a cell on each worker")
        dask().refuse(command.scheduler)
    elif command.scheduler is not None:
        raise BadOption("scheduler", command.scheduler, "add --executor dask")
    return common.load(conf)


def start(
    conf: cfg.ConfigOpts,
    work: Callable[[Cell], None],
    cells: Sequence[CellMapping],
    settings: Settings,
    stopping: Stopping,
) -> list[Report]:
    """Do *work* for *cells* where the command line says, and return how each ended."""
    command = conf.command
    if command.executor == PROCESSES:
        return fleet.here(cells, settings, stopping, work=work, jobs=command.jobs)
    reports: list[Report] = dask().run(
        cells,
        settings,
        stopping,
        work=work,
        arguments=given(conf),
        scheduler=command.scheduler,
    )
    return reports


def dask() -> Any:
    """Return the module that needs the extra ``dask``; raise NoDask without that."""
    try:
        return importlib.import_module("cellmap_migrations.cli.dask")
    except ModuleNotFoundError as error:
        raise NoDask(missing=error.name or "distributed") from error


def given(conf: cfg.ConfigOpts) -> list[str]:
    """Return what of the command line a worker has to know, as ``-x`` arguments.

    Files that were not named here it searches for itself.
    """
    files = [
        f"{name}={Path(path).absolute()}"
        for name in FILE_OPTIONS
        if (found := conf.get_location(name)) and found.location.is_user_controlled
        for path in conf[name]
    ]
    numbers = {name: getattr(conf.command, name) for name in FOR_EACH_CELL}
    return files + [f"{name}={n}" for name, n in numbers.items() if n is not None]
