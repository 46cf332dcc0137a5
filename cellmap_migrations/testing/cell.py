"""Build a cell of a test cloud, and change its instances as nova does."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.testing.rows import CELL0, LONG_AGO, instance, known, now
from cellmap_migrations.testing.schema import cell_tables
from cellmap_migrations.testing.servers import plain_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cellmap_migrations.testing.api import Api


class Cell:
    """Hold a row of ``cell_mappings`` and the engine of its database."""

    def __init__(
        self, api: Api, uuid: str, name: str | None, url: sa.URL, release: str
    ) -> None:
        self.api = api
        self.uuid = uuid
        self.name = name
        self.url = url
        self.release = release
        self.engine = plain_engine(url)
        self.tables = cell_tables(release).tables
        self.instances = self.tables["instances"]

    @cached_property
    def id(self) -> int:
        """Return the ``cell_mappings.id`` of the cell."""
        query = sa.select(self.api.tables["cell_mappings"].c.id)
        with self.api.engine.connect() as connection:
            found: int = connection.execute(
                query.filter_by(uuid=self.uuid)
            ).scalar_one()
        return found

    def add_instances(self, count: int, **columns: object) -> list[str]:
        """Add active instances; return their uuids in the order of their ids."""
        rows = [known(self.instances, instance()) | columns for _ in range(count)]
        if rows:
            with self.engine.begin() as connection:
                connection.execute(self.instances.insert(), rows)
        return [row["uuid"] for row in rows]

    def add_instance(
        self, *, deleted: bool | int | None = False, **columns: object
    ) -> str:
        """Add an instance, and return its uuid; ``deleted=True`` sets its own id."""
        row = known(self.instances, instance())
        if deleted is True:
            row |= {"deleted_at": LONG_AGO, "vm_state": "deleted"}
        else:
            row["deleted"] = deleted and int(deleted)
        row |= columns
        with self.engine.begin() as connection:
            connection.execute(self.instances.insert(), row)
            if deleted is True:
                self.change(connection, row["uuid"], deleted=self.instances.c.id)
        return str(row["uuid"])

    def add_kind(self, outcome: str, other: Cell) -> str:
        """Add an instance that an upgrade of this cell counts as *outcome*.

        *other* is a cell of the same cloud, for a mapping or a copy in another cell.
        Returns the uuid; raises ValueError for an unknown *outcome*.
        """
        return BUILDERS[Outcome(outcome)](self, other)

    def update(self, uuid: str, **columns: object) -> None:
        """Update columns of an instance in its own transaction."""
        with self.engine.begin() as connection:
            self.change(connection, uuid, **columns)

    def change(self, connection: sa.Connection, uuid: str, **columns: object) -> None:
        """Update columns of an instance."""
        update = self.instances.update().filter_by(uuid=uuid)
        connection.execute(update.values(columns))

    def row(self, uuid: str) -> dict[str, Any] | None:
        """Return all columns of an instance, or None if the cell does not have it."""
        query = sa.select(self.instances).filter_by(uuid=uuid)
        with self.engine.connect() as connection:
            found = connection.execute(query).mappings().one_or_none()
        return None if found is None else dict(found)

    def uuids(self) -> list[str]:
        """Return the uuids of all instances, in the order of their ids."""
        query = sa.select(self.instances.c.uuid).order_by(self.instances.c.id)
        with self.engine.connect() as connection:
            return list(connection.scalars(query))

    def delete(self, uuid: str) -> None:
        """Delete an instance: the API queues it, then the compute host deletes it."""
        self.api.queue_for_delete(uuid)
        gone = {"deleted_at": now(), "vm_state": "deleted"}
        self.update(uuid, deleted=self.instances.c.id, **gone)

    def soft_delete(self, uuid: str) -> None:
        """Soft-delete an instance, which can be restored; ``deleted`` stays 0."""
        self.update(uuid, deleted_at=now(), task_state="soft-deleting")
        self.api.queue_for_delete(uuid)
        self.update(uuid, vm_state="soft-delete", task_state=None)

    def archive(self, uuid: str) -> None:
        """Archive an instance: move its row, then delete its mapping."""
        self.move_to_shadow(uuid)
        self.api.unmap(uuid)

    def move_to_shadow(self, uuid: str) -> None:
        """Move the row of an instance to ``shadow_instances``; keep its mapping."""
        row = self.row(uuid)
        with self.engine.begin() as connection:
            connection.execute(self.tables["shadow_instances"].insert(), row)
            connection.execute(self.instances.delete().filter_by(uuid=uuid))


def add(
    cell: Cell, to: Cell | None, *, deleted: bool = False, **columns: object
) -> str:
    """Add an instance of *cell* that is mapped *to* a cell, or to no cell if None."""
    uuid = cell.add_instance(deleted=deleted, **columns)
    cell.api.map(uuid, to)
    return uuid


def mapped(cell: Cell, _: Cell) -> str:
    """Add an instance without a mapping."""
    return cell.add_instance()


def already(cell: Cell, _: Cell) -> str:
    """Add an instance that is mapped to its cell, as after a boot."""
    return add(cell, cell)


def filled(cell: Cell, _: Cell) -> str:
    """Add an instance whose boot failed before its mapping got a cell."""
    return add(cell, None)


def in_flight(cell: Cell, _: Cell) -> str:
    """Add an instance that nova is booting."""
    uuid = add(cell, None, created_at=now(), vm_state="building")
    cell.api.request_build(uuid)
    return uuid


def hidden(cell: Cell, other: Cell) -> str:
    """Add the hidden copy of a cross-cell resize; *other* has the live copy."""
    return add(cell, other, uuid=other.add_instance(), hidden=True)


def placeholder(cell: Cell, _: Cell) -> str:
    """Add the row that nova's fill_virtual_interface_list inserts in every cell."""
    return cell.add_instance(uuid=CELL0, project_id=CELL0, user_id=CELL0, deleted=True)


def elsewhere(cell: Cell, other: Cell) -> str:
    """Add the deleted copy of an instance that is live in *other*, and mapped there."""
    return add(cell, other, uuid=other.add_instance(), deleted=True)


def moved(cell: Cell, other: Cell) -> str:
    """Add an instance that is mapped to *other*, which does not have it."""
    return add(cell, other)


def conflict(cell: Cell, other: Cell) -> str:
    """Add an instance that is live in both cells."""
    return add(cell, other, uuid=other.add_instance())


def unresolved(cell: Cell, _: Cell) -> str:
    """Add an instance that is mapped to a new cell without a database."""
    number = cell.api.add_silent_cell()
    uuid = cell.add_instance()
    cell.api.map_to(number, [uuid])
    return uuid


def rejected(cell: Cell, _: Cell) -> str:
    """Add an instance that cannot have a mapping, because it has no project."""
    return cell.add_instance(project_id=None)


BUILDERS: Mapping[Outcome, Callable[[Cell, Cell], str]] = MappingProxyType(
    {
        Outcome.MAPPED: mapped,
        Outcome.ALREADY: already,
        Outcome.FILLED: filled,
        Outcome.IN_FLIGHT: in_flight,
        Outcome.HIDDEN: hidden,
        Outcome.PLACEHOLDER: placeholder,
        Outcome.ELSEWHERE: elsewhere,
        Outcome.MOVED: moved,
        Outcome.CONFLICT: conflict,
        Outcome.UNRESOLVED: unresolved,
        Outcome.REJECTED: rejected,
    }
)
