"""Run ``cellmap-status upgrade check`` inside the process of the tests."""

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from cellmap_migrations.cli.upgrade_check import main
from cellmap_migrations.common import secrets
from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import Cloud

SUCCESS, WARNING, FAILURE, NOT_CHECKED = 0, 1, 2, 255


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Hold the exit code of a check, and the result and details of each row.

    A cell's row goes by the cell's name.
    """

    code: int
    results: dict[str, int]
    details: dict[str, str]


def run(cloud: Cloud, *options: str) -> Finished:
    """Run the check on this cloud's nova.conf."""
    # What was learned in another run would mask what leaks in this one.
    secrets.KNOWN.clear()
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        conf = ["--config-file", str(cloud.config_file)]
        code = main([*conf, "upgrade", "check", *options])
    return Finished(code=code, out=out.getvalue(), err=err.getvalue())


def check(cloud: Cloud, *options: str) -> Checked:
    """Run the check, and read its JSON."""
    finished = run(cloud, "--json", *options)
    assert finished.err == ""
    rows = json.loads(finished.out)["checks"]
    names = {row["check"]: name(row["check"]) for row in rows}
    return Checked(
        code=finished.code,
        results={names[row["check"]]: row["result"] for row in rows},
        details={names[row["check"]]: row["details"] for row in rows},
    )


def name(check: str) -> str:
    """Return the name of a check, or of the cell that it is about."""
    return check.removeprefix("Cell ").rpartition(" (")[0] or check
