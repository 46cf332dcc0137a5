"""Run commands of contrib/, and stop them halfway."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP

from cellmap_migrations.common.errors import SEVERITY
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished, Running
from tests.harness.cloud import ROOT, Cloud
from tests.harness.waiting import wait_for

FOLDER = ROOT / "contrib"

# Codes that nobody chose: Python's, argparse's, the shell's, of signals, Alembic's.
OTHERS = (1, 2, 126, 127, 137, 143, 255)

CODES = (*SEVERITY, *OTHERS)

# One row in each transaction, so that a run can be met halfway.
SLOWLY = {"batch_rows_min": 1, "batch_rows_max": 1}

ROWS = 200


@contextmanager
def frozen_halfway(running: Running, cloud: Cloud, cell: Cell) -> Iterator[None]:
    """Hold the cellmap inside *running* in the middle of *cell* for the block."""
    wait_for(lambda: bool(cloud.journal(cell)) or not running.running(), "a batch")
    assert running.running(), running.out + running.err
    pid = int(cloud.journal(cell)[0]["runner"].rpartition(":")[2])
    os.kill(pid, SIGSTOP)
    try:
        assert len(cloud.mapped_uuids(cell)) < ROWS
        yield
    finally:
        os.kill(pid, SIGCONT)


def finish(running: Running) -> Finished:
    """Return the result of a command, and delete its files."""
    try:
        return running.wait()
    finally:
        running.close()
