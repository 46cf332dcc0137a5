"""Boot servers at a steady rate, without waiting for earlier boots."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.rows import PROJECT, USER, now
from tests.harness import second_look
from tests.harness.cloud import Cloud
from tests.harness.waiting import meanwhile

# As many at once as a cloud has API workers with a connection each.
WORKERS = 16


@dataclass(frozen=True, kw_only=True)
class Boot:
    """Hold a boot that was requested at *asked*, and was done *seconds* later.

    It was asked for when it was its turn, and waits as its user would for a worker
    that is still busy with another one.
    """

    uuid: str
    asked: float
    seconds: float
    error: Exception | None


class Boots:
    """Boot *rate* servers a second in a cell, as nova's API and conductor do.

    *between* is done to each between the two transactions in the API database.
    """

    def __init__(
        self,
        cloud: Cloud,
        cell: Cell,
        *,
        rate: float = 50,
        between: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.mappings, self.cell_id = cloud.instance_mappings, cell.id
        self.rate, self.between = rate, between
        # Nova keeps its connections; PyMySQL would load certificates for each.
        no_tls = cloud.url.get_backend_name() == "mysql"
        self.engine = sa.create_engine(
            cloud.url,
            pool_size=WORKERS,
            connect_args={"ssl_disabled": True} if no_tls else {},
        )
        self.futures: list[Future[Boot]] = []
        self.stop = Event()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Request boots while the block runs; then wait for all of them."""
        with (
            second_look.in_earnest(),
            ThreadPoolExecutor(WORKERS) as pool,
            meanwhile(partial(self.ask, pool), self.stop),
        ):
            yield
        self.engine.dispose()

    def ask(self, pool: ThreadPoolExecutor) -> None:
        """Request one boot after another, each at its time."""
        asked = time.monotonic()
        while not self.stop.wait(max(0, asked - time.monotonic())):
            self.futures.append(pool.submit(self.boot, asked))
            asked += 1 / self.rate

    def boot(self, asked: float) -> Boot:
        """Boot a server."""
        uuid, error = str(uuid4()), None
        try:
            self.map(uuid)
        except Exception as caught:  # noqa: BLE001 - counted by who asked
            error = caught
        seconds = time.monotonic() - asked
        return Boot(uuid=uuid, asked=asked, seconds=seconds, error=error)

    def map(self, uuid: str) -> None:
        """Map a server to no cell, then to the one that was chosen for it."""
        with self.engine.begin() as connection:
            connection.execute(
                self.mappings.insert().values(
                    instance_uuid=uuid,
                    created_at=now(),
                    project_id=PROJECT,
                    user_id=USER,
                    queued_for_delete=False,
                )
            )
        self.between(uuid)
        with self.engine.begin() as connection:
            chosen = self.mappings.update().filter_by(instance_uuid=uuid)
            connection.execute(chosen.values(cell_id=self.cell_id, updated_at=now()))

    def done(self) -> list[Boot]:
        """Return the boots in the order of their requests; wait for the last one."""
        return [future.result() for future in self.futures]

    def uuids(self) -> set[str]:
        """Return the uuids of all servers that were requested."""
        return {boot.uuid for boot in self.done()}
