"""Copy a cell on a cluster during faults, and check that the copy is complete."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Extra, Running
from tests.faults.tally import Tally
from tests.harness.books import HEAD, assert_books_balance, total, walked
from tests.harness.cloud import Cloud
from tests.harness.clusters import Cluster, longest
from tests.harness.inside import cellmap_inside
from tests.harness.waiting import wait_for

BATCHES = 40

OURS = ("cellmap_journal", "cellmap_version")

TABLES = ("instance_mappings", *OURS)

SECONDS = 900.0

# Seconds; nothing else takes so long in so small a cell.
LONG = 0.5


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Upgrade a cell of *uuids*; choose the moments of faults from *seed*."""

    cluster: Cluster[Any]
    cloud: Cloud
    cell: Cell
    uuids: list[str]
    times: int = 1
    seed: int = 0

    def x(self, batches: int = BATCHES) -> dict[str, str]:
        """Return options for a copy in *batches* batches."""
        rows = str(len(self.uuids) // batches)
        return {"batch_rows_min": rows, "batch_rows_max": rows}

    def start(self) -> Running:
        """Start a run."""
        return self.cloud.start("upgrade", "head", cell="cell1", x=self.x())

    def moments(self) -> Iterator[random.Random]:
        """Yield a random generator for each fault; heal the cluster before each."""
        chosen = random.Random(self.seed)
        for _ in range(self.times):
            self.forget()
            yield chosen

    def undisturbed(self, work: Callable[[], None]) -> None:
        """Do *work* in a healed cluster, and again if its connection is cut meanwhile.

        On a busy machine a node that is only slow is taken for one that is dead.
        """

        def done() -> bool:
            self.cluster.start()
            try:
                work()
            except sa.exc.OperationalError:
                return False
            return True

        wait_for(done, "a cluster that stays healed", seconds=SECONDS)

    def forget(self) -> None:
        """Delete all copied rows from every node."""
        self.undisturbed(self.delete_rows)
        self.cluster.catch_up()

    def delete_rows(self) -> None:
        """Delete all copied rows; the next connections go to any node."""
        known = set(sa.inspect(self.cloud.engine).get_table_names())
        for name in known.intersection(TABLES):
            self.cloud.execute(sa.table(name).delete())
        self.by_way_of(self.cluster.proxy.spread)
        self.cell_by_way_of(self.cluster.proxy.spread)

    def by_way_of(self, port: int, **arguments: str) -> None:
        """Reach the API database at another port from now on."""
        url = self.cloud.url.set(port=port).update_query_dict(arguments)
        self.cloud.configure(api_database={"connection": text(url)})

    def cell_by_way_of(self, port: int) -> None:
        """Reach the cell at another port from now on."""
        cells = self.cloud.tables["cell_mappings"]
        connection = text(self.cell.url.set(port=port))
        self.cloud.execute(cells.update().values(database_connection=connection))

    def frozen(self, what: str, *batches: int, x: Extra | None = None) -> Running:
        """Start a run that freezes at *what* of these batches; return at the first."""
        numbers = ",".join(map(str, batches))
        return self.cloud.start_frozen(
            f"{what} #{numbers}", cell="cell1", x={**self.x(), **(x or {})}
        )

    def finish(self, *runs: Running) -> list[int]:
        """Return the exit codes of *runs*, and of one more run if all ended with 75."""
        codes = [run.wait(SECONDS).code for run in runs]
        if 0 not in codes:
            codes.append(self.start().wait(SECONDS).code)
        assert {0} <= set(codes) <= {0, 75}, (
            self.seed,
            codes,
            [run.err for run in runs],
        )
        self.undisturbed(self.assert_complete)
        return codes

    def complete(self, cause: "Cause", tallied: Tally) -> None:
        """Check that a copy ends complete although *cause* happens meanwhile."""
        for chosen in self.moments():
            with cause(self, chosen) as runs:
                tallied.add(*self.finish(*runs), rows=len(self.uuids))

    def assert_complete(self) -> None:
        """Assert that each row is mapped once, and that all nodes have equal tables."""
        assert self.cloud.mapped_uuids(self.cell) == set(self.uuids), self.seed
        assert total(walked(self.cloud, self.cell), "rows_read") == len(self.uuids)
        assert self.cloud.versions() == {self.cell.uuid: HEAD}
        assert_books_balance(self.cloud, self.cell)
        checked = cellmap_inside(self.cloud, "check", "--cell", "cell1")
        assert (self.seed, checked.code, checked.err) == (self.seed, 0, "")
        database = str(self.cloud.url.database)
        assert len(self.cluster.checksums(database, TABLES)) == 1, self.seed


Cause = Callable[[Copy, random.Random], AbstractContextManager[Sequence[Running]]]


@contextmanager
def spread(folder: Path, cluster: Cluster[Any], rows: int) -> Iterator[Copy]:
    """Make a cloud on the cluster whose connections are spread over all nodes."""
    cluster.start()
    cloud = Cloud(folder, lambda _: cluster.first, backend="mysql")
    cell = cloud.add_cell("cell1")
    chunk = min(rows, 2_000)
    uuids = [uuid for _ in range(rows // chunk) for uuid in cell.add_instances(chunk)]
    made = Copy(cluster=cluster, cloud=cloud, cell=cell, uuids=uuids)
    made.forget()
    yield made
    cluster.start()
    cloud.close()


def wait_until_it_waits(small: Copy, running: Running) -> None:
    """Return when a run waits for the last node, or has ended."""
    databases = small.cloud.url, small.cell.url
    wait_for(
        lambda: (
            not running.running()
            or any(longest(small.cluster.nodes[-1], url) > LONG for url in databases)
        ),
        "a run that waits",
    )
