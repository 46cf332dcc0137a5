"""Make clouds whose commands can be stopped, frozen and killed."""

from collections.abc import Mapping
from pathlib import Path
from signal import SIGSTOP, Signals

import sqlalchemy as sa

from cellmap_migrations.testing import cloud
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import TIMEOUT, Extra, Running
from tests.harness.forked import Forked, can_be_forked
from tests.harness.sessions import Sessions
from tests.harness.waiting import wait_for

__all__ = ["ROOT", "Cloud"]

ROOT = Path(__file__).parents[2]

# Seconds for which nothing has to be waited for, however slow a machine is.
HOUR = "3600"


class Cloud(cloud.Cloud):
    """Extend the cloud of the pytest plugin for the tests of this project."""

    def sessions(self, url: sa.URL | None = None) -> Sessions:
        """Return the sessions on the API database, or on the database at *url*."""
        url = url or self.url
        return Sessions(self.server(url.get_backend_name()), url)

    def clear(self) -> None:
        """Delete instances, mappings and the rows of our tables, but no cell."""
        for cell in self.cells:
            with cell.engine.begin() as connection:
                connection.execute(cell.instances.delete())
        names = {
            "instance_mappings",
            "build_requests",
            "cellmap_version",
            "cellmap_journal",
            "cellmap_control",
        }
        for name in names.intersection(sa.inspect(self.engine).get_table_names()):
            self.execute(sa.table(name).delete())

    def lead(self, cell: Cell, connection: str | None) -> None:
        """Change the address in the row of *cell*."""
        table = self.tables["cell_mappings"]
        update = table.update().where(table.c.id == cell.id)
        self.execute(update.values(database_connection=connection))

    def start_until(
        self,
        moment: str,
        number: Signals,
        *,
        cell: str,
        x: Extra | None = None,
        patient: bool = False,
    ) -> Running:
        """Start an upgrade that sends itself a signal at a *moment* of its work.

        tests/harness/moment.py says how a *moment* is spelled, and what *patient*
        does.
        """
        env = environment(moment, number, patient=patient)
        return self.start(
            "upgrade",
            "head",
            cell=cell,
            x=x,
            env=env,
            module="tests.harness.moment",
        )

    def add_fleet(self, rows: int) -> None:
        """Add three cells of *rows* plain servers each, and map them ten at a time."""
        self.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
        for number in range(3):
            self.add_cell(f"cell{number}").add_instances(rows)

    def start_frozen(
        self,
        moment: str,
        *,
        cell: str,
        x: Extra | None = None,
        patient: bool = False,
    ) -> Running:
        """Start an upgrade, and return when it has stopped itself at *moment*."""
        running = self.start_until(moment, SIGSTOP, cell=cell, x=x, patient=patient)
        wait_frozen(running, moment)
        return running

    def start_cellmap_until(
        self, moment: str, number: Signals, *arguments: str, patient: bool = False
    ) -> Running:
        """Start a command of cellmap that sends itself a signal at a *moment*."""
        program = {"MOMENT_PROGRAM": "cellmap"}
        env = {**environment(moment, number, patient=patient), **program}
        files = ["--config-file", str(self.config_file)]
        return self.run("-m", "tests.harness.moment", *files, *arguments, env=env)

    def start_cellmap(self, *arguments: str) -> Running:
        """Start a command of the console script on this cloud's nova.conf."""
        files = ["--config-file", str(self.config_file)]
        return self.run("-m", "cellmap_migrations.cli", *files, *arguments)

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> Running:
        """Start Python in the checkout, where it finds moment.py."""
        cwd = cwd or ROOT
        if not can_be_forked(arguments, env or {}):
            return super().run(*arguments, env=env, cwd=cwd)
        running = Forked(arguments[1:], env=env, cwd=cwd)
        self.commands.append(running)
        return running


def environment(moment: str, number: Signals, *, patient: bool) -> dict[str, str]:
    """Return the environment that tests/harness/moment.py reads."""
    env = {"MOMENT": moment, "MOMENT_SIGNAL": number.name}
    return {**env, "MOMENT_PATIENCE": HOUR} if patient else env


def wait_frozen(running: Running, moment: str) -> None:
    """Return when a run has stopped itself at *moment*, which may be late in it."""
    wait_for(lambda: running.frozen() or not running.running(), moment, seconds=TIMEOUT)
    assert running.running(), f"never came to {moment}\n{running.err}"
