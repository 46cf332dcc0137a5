"""Run a Dask cluster on loopback: a scheduler and workers, each a process."""

import json
import sys
from pathlib import Path

from distributed import Client

from cellmap_migrations.testing.process import Running
from cellmap_migrations.testing.servers.base import HOST
from tests.harness.cloud import ROOT
from tests.harness.waiting import wait_for


class Cluster:
    """Run programs of Dask as an operator does. Their home is *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Running] = []
        self.workers: list[Running] = []
        file = folder / "scheduler.json"
        self.start("scheduler", "--host", HOST, "--port=0", "--scheduler-file", file)
        wait_for(lambda: file.exists() and file.read_text().endswith("}"), "scheduler")
        self.address: str = json.loads(file.read_text())["address"]

    def start(self, program: str, *options: object) -> Running:
        """Start a program with neither dashboard nor nanny."""
        command = [sys.executable, "-m", "dask", program, "--no-dashboard"]
        env = {
            "HOME": str(self.folder),
            "DASK_DISTRIBUTED__WORKER__TEMPORARY_DIRECTORY": str(self.folder),
        }
        running = Running([*command, *map(str, options)], env=env, cwd=ROOT)
        self.programs.append(running)
        return running

    def have_workers(self, count: int) -> None:
        """Start workers in place of those that died, and wait for all of them."""
        self.workers = [worker for worker in self.workers if worker.running()]
        options = [self.address, "--no-nanny", "--nthreads=1", "--host", HOST]
        while len(self.workers) < count:
            self.workers.append(self.start("worker", *options))
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count)

    def worker(self, runner: str) -> Running:
        """Return the worker that the journal calls *runner*, host:pid."""
        pid = int(runner.rpartition(":")[2])
        return next(worker for worker in self.workers if worker.pid == pid)

    def close(self) -> None:
        """Kill all programs."""
        for running in self.programs:
            running.close()
