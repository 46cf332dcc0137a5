"""Run commands inside the process of the tests, in a twentieth of the time."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

from alembic import config as alembic

from cellmap_migrations import run
from cellmap_migrations.cell import cell as cell_module
from cellmap_migrations.cli import main as cli_main
from cellmap_migrations.common import secrets
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.config import settings
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Extra, Finished, x_options
from tests.harness.cloud import ROOT, Cloud


def alembic_inside(
    cloud: Cloud, *arguments: str, cell: str | None = None, x: Extra | None = None
) -> Finished:
    """Do the work of Cloud.alembic in the process of the tests."""
    ours: Extra = {"config_file": str(cloud.config_file), "cell": cell}
    options = x_options(ours, x or {})
    return inside(alembic.main, ["-c", str(ROOT / "alembic.ini"), *options, *arguments])


def cellmap_inside(cloud: Cloud, command: str, *arguments: str) -> Finished:
    """Do the work of Cloud.cellmap in the process of the tests."""
    files = ["--config-file", str(cloud.config_file)]
    return inside(cli_main.main, [*files, command, *arguments])


def upgrade(
    cloud: Cloud, revision: str = "head", *, cell: str = "cell1", **x: str
) -> Finished:
    """Upgrade a cell, in the process of the tests; *x* are further ``-x`` options."""
    return alembic_inside(cloud, "upgrade", revision, cell=cell, x=x)


def downgrade(cloud: Cloud) -> Finished:
    """Downgrade cell1 to ``base``, in the process of the tests; remove its mappings."""
    x = {"remove_mappings": "yes"}
    return alembic_inside(cloud, "downgrade", "base", cell="cell1", x=x)


def inside(main: Callable[[list[str]], int | None], arguments: list[str]) -> Finished:
    """Call *main* with *arguments*; return its exit code and its output."""
    # What was learned in another run would mask what leaks in this one.
    secrets.KNOWN.clear()
    path, out, err = list(sys.path), StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments) or 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.path[:] = path
    return Finished(code=code, out=out.getvalue(), err=err.getvalue())


def last_line(finished: Finished) -> str:
    """Return the last line of stderr. A slow run may print warnings before it."""
    return finished.err.splitlines()[-1]


@contextmanager
def opened(cloud: Cloud, cell: Cell) -> Iterator[cell_module.Cell]:
    """Yield the Cell that a version script gets for *cell*."""
    chosen = [f"config_file={cloud.config_file}", f"cell={cell.uuid}"]
    config, stopping = settings.load(chosen), Stopping()
    with run.opened_api(config, stopping) as api:
        mappings = cells.read(api)
        identities = Identities(
            api=api, mappings=mappings, settings=config, stopping=stopping
        )
        inside = cell_module.make_cell(cells.find(mappings, config)[0], identities)
        try:
            yield inside
        finally:
            inside.closing.close()
