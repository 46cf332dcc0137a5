"""Alembic inside the process of the tests: a run costs a twentieth of a process."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from alembic.config import main

from cellmap_migrations import secrets
from tests.nova.cloud import ROOT, Cloud
from tests.nova.process import Extra, Finished, x_options


def alembic_inside(
    cloud: Cloud, *arguments: str, cell: str | None = None, x: Extra | None = None
) -> Finished:
    """Do what Cloud.alembic does, but see nothing of how a process starts and ends."""
    # What was learned in another run would mask what leaks in this one.
    secrets.KNOWN.clear()
    ours: Extra = {"config_file": str(cloud.config_file), "cell": cell}
    path, out, err, code = list(sys.path), StringIO(), StringIO(), 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(
                argv=[
                    "-c",
                    str(ROOT / "alembic.ini"),
                    *x_options(ours, x or {}),
                    *arguments,
                ]
            )
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.path[:] = path
    return Finished(code=code, out=out.getvalue(), err=err.getvalue())
