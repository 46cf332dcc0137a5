"""Do the work of a cloud's users while a test does something else."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.rows import now
from tests.harness import second_look
from tests.harness.cloud import Cloud
from tests.harness.waiting import meanwhile


class Traffic:
    """Boot, delete, soft-delete, restore and archive servers of one cell.

    Every step is committed in nova's order. What nova knows to be true afterwards is
    kept in ``live``, ``deleted``, ``soft_deleted`` and ``archived``.
    """

    def __init__(self, cloud: Cloud, cell: Cell, *, seed: int) -> None:
        self.cloud, self.cell = cloud, cell
        self.random = random.Random(seed)
        self.live: list[str] = []
        self.deleted: list[str] = []
        self.soft_deleted: list[str] = []
        self.archived: list[str] = []
        self.failed: list[BaseException] = []
        self.stop = threading.Event()

    @property
    def booted(self) -> int:
        """Return the number of servers that were booted so far."""
        lists = (self.live, self.deleted, self.soft_deleted, self.archived)
        return sum(map(len, lists))

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let the traffic flow while the block runs; it must not fail."""
        with second_look.in_earnest(), meanwhile(self.flow, self.stop):
            yield
        assert self.failed == [], self.failed

    def flow(self) -> None:
        """Do one thing after another."""
        steps = (self.boot, self.delete, self.soft_delete, self.restore, self.archive)
        weights = (5, 2, 2, 1, 1)
        try:
            while not self.stop.wait(0.005):
                self.random.choices(steps, weights)[0]()
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            self.failed.append(error)

    def take(self, servers: list[str]) -> str | None:
        """Take a server out of a list."""
        if not servers:
            return None
        return servers.pop(self.random.randrange(len(servers)))

    def boot(self) -> None:
        """Boot a server: mapping and build request, instance, cell, request gone."""
        uuid = str(uuid4())
        self.cloud.map(uuid, None, created_at=now())
        self.cloud.request_build(uuid)
        self.cell.add_instance(uuid=uuid, created_at=now(), task_state=None)
        self.cloud.remap(uuid, cell_id=self.cell.id, updated_at=now())
        requests = self.cloud.tables["build_requests"]
        self.cloud.execute(requests.delete().filter_by(instance_uuid=uuid))
        self.live.append(uuid)

    def delete(self) -> None:
        """Delete a server for good."""
        if uuid := self.take(self.live):
            self.queue(uuid, queued=True)
            gone = {"deleted_at": now(), "vm_state": "deleted"}
            self.cell.update(uuid, deleted=self.cell.instances.c.id, **gone)
            self.deleted.append(uuid)

    def soft_delete(self) -> None:
        """Delete a server that may come back."""
        if uuid := self.take(self.live):
            self.cell.update(uuid, deleted_at=now(), task_state="soft-deleting")
            self.queue(uuid, queued=True)
            self.cell.update(uuid, vm_state="soft-delete", task_state=None)
            self.soft_deleted.append(uuid)

    def restore(self) -> None:
        """Bring a soft-deleted server back."""
        if uuid := self.take(self.soft_deleted):
            self.cell.update(uuid, deleted_at=None, task_state="restoring")
            self.queue(uuid, queued=False)
            self.cell.update(uuid, vm_state="active", task_state=None)
            self.live.append(uuid)

    def archive(self) -> None:
        """Archive a deleted server."""
        if uuid := self.take(self.deleted):
            self.cell.archive(uuid)
            self.archived.append(uuid)

    def queue(self, uuid: str, *, queued: bool) -> None:
        """Set or clear the flag of a mapping, as nova's save() does."""
        mappings = self.cloud.instance_mappings
        self.cloud.execute(
            sa.update(mappings)
            .where(mappings.c.instance_uuid == uuid)
            .values(queued_for_delete=queued, updated_at=now())
        )
