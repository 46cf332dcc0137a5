"""Which checks there are: some of the API database, and one for each cell."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code

from cellmap_migrations import directory, running, settings
from cellmap_migrations.cell import Cell
from cellmap_migrations.errors import CellmapError
from cellmap_migrations.identities import Identities
from cellmap_migrations.reporting import Report
from cellmap_migrations.threads import at_once
from cellmap_migrations.upgradecheck import api_database
from cellmap_migrations.upgradecheck.cells import compared, problem
from cellmap_migrations.upgradecheck.results import failed, result, safely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oslo_config import cfg
    from oslo_upgradecheck.upgradecheck import Result

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.stopping import Stopping

    Checks = tuple[tuple[str, Callable[..., Result]], ...]

UNIFIED_LIMITS = "nova.quota.UnifiedLimitsDriver"


class UpgradeCommands(upgradecheck.UpgradeCommands):
    """Checks that only read, and of which none keeps another from being done."""

    def __init__(self, conf: cfg.ConfigOpts, stopping: Stopping) -> None:
        self.settings = settings.make(conf, cell=directory.ALL, read_only=True)
        self.stopping = stopping
        self.full = conf.command.full
        self.unified_limits = conf.quota.driver == UNIFIED_LIMITS

    def check(self) -> Code:
        """Print the table or the JSON object, and return the gravest result.

        Raises Stopped after a signal.
        """
        with ExitStack() as stack:
            self._upgrade_checks = self.checks(stack)
            return super().check()

    def checks(self, stack: ExitStack) -> Checks:
        """Return the checks of this cloud; *stack* closes what they work on.

        Without the API database nobody knows of any cell.
        """
        try:
            api = stack.enter_context(running.opened_api(self.settings, self.stopping))
            mappings = directory.read(api)
        except CellmapError as error:
            self.stopping.check()
            reason = failed(error, Code.FAILURE)
            return (("API database", lambda _: reason),)
        reached = result(f"{api.what}, {len(mappings)} cells")
        cells = self.cells(api, mappings)
        for cell in cells:
            stack.callback(cell.close)
        # At the same time, because those that are down take long.
        problems = at_once(*(partial(problem, cell) for cell in cells))
        return (
            ("API database", lambda _: reached),
            ("API schema", self.of_api(api, api_database.schema_recent)),
            ("map_instances marker", self.of_api(api, self.marker)),
            ("Unified limits", self.of_api(api, self.limits)),
            *(
                (f"Cell {cell.mapping}", self.of_cell(cell, error))
                for cell, error in zip(cells, problems, strict=True)
            ),
        )

    def marker(self, api: Database) -> Result:
        """Check nova's marker."""
        return api_database.no_marker(api, self.settings)

    def limits(self, api: Database) -> Result:
        """Check what unified limits count by."""
        return api_database.counted(api, in_use=self.unified_limits)

    def of_api(
        self, api: Database, check: Callable[[Database], Result]
    ) -> Callable[[Any], Result]:
        """Return *check* of the API database as oslo.upgradecheck calls it."""
        return lambda _: safely(partial(check, api), api)

    def of_cell(self, cell: Cell, problem: Exception | None) -> Callable[[Any], Result]:
        """Return the check of a cell as oslo.upgradecheck calls it."""
        check = partial(compared, cell, problem, full=self.full)
        return lambda _: safely(check, cell.api)

    def cells(self, api: Database, mappings: Sequence[CellMapping]) -> list[Cell]:
        """Return the cells of *mappings*, not opened yet."""
        shared: dict[str, Any] = {
            "api": api,
            "settings": self.settings,
            "stopping": self.stopping,
        }
        identities = Identities(cells=mappings, **shared)
        return [
            Cell(
                mapping,
                cells=mappings,
                report=Report(cell=mapping.uuid, name=mapping.name),
                identities=identities,
                **shared,
            )
            for mapping in mappings
        ]
