"""List the actions of nova on one instance, as committed steps in SQL.

The order of the steps is that of nova 34.0.0. ``HERE`` is the cell that a run works on,
``THERE`` another one. Each step is a transaction on one database.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import NAMESPACE_DNS, uuid5

API, HERE, THERE = "api", "here", "there"


class Step(NamedTuple):
    """Hold one transaction: statements of SQL, separated by semicolons."""

    place: str
    sql: str


@dataclass(frozen=True, kw_only=True)
class Action:
    """Hold the rows *before* an action, and its *steps*.

    If it *asks*, nova first looks for the mapping, and answers 404 without one. Its
    instance is *new* if no row with its id may be there before.
    """

    name: str
    before: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()
    asks: bool = False
    new: bool = False


class Prefix(NamedTuple):
    """Name the first *length* steps of an action, on an instance of their own."""

    action: Action
    length: int

    @property
    def name(self) -> str:
        """Return the name of the prefix on the command line."""
        return f"{self.action.name}/{self.length}"

    @property
    def uuid(self) -> str:
        """Return the uuid of the instance."""
        return str(uuid5(NAMESPACE_DNS, self.name))


def step(place: str, *statements: str) -> Step:
    return Step(place, "; ".join(statements))


def insert(place: str, table: str, row: dict[str, str]) -> Step:
    """Insert a row whose values are SQL."""
    names, values = ", ".join(row), ", ".join(row.values())
    return step(place, f"INSERT INTO {table} ({names}) VALUES ({values})")


def instance(place: str, *, born: str = "old", **columns: str) -> Step:
    """Insert the instance; *columns* are SQL."""
    usual = {
        "uuid": ":uuid",
        "project_id": ":project",
        "user_id": ":user",
        "host": "'compute-1'",
        "vm_state": "'active'",
        "deleted": "0",
        "hidden": "FALSE",
        "created_at": f":{born}",
    }
    return insert(place, "instances", usual | columns)


def mapping(cell: str, *, born: str = "old", **columns: str) -> Step:
    """Insert the mapping to *cell*."""
    usual = {
        "instance_uuid": ":uuid",
        "cell_id": cell,
        "project_id": ":project",
        "user_id": ":user",
        "queued_for_delete": "FALSE",
        "created_at": f":{born}",
    }
    return insert(API, "instance_mappings", usual | columns)


def change(place: str, changes: str) -> Step:
    return step(place, f"UPDATE instances SET {changes} WHERE uuid = :uuid")


def remap(changes: str) -> Step:
    return step(
        API,
        f"UPDATE instance_mappings SET {changes}, updated_at = :young "
        "WHERE instance_uuid = :uuid",
    )


def remove(place: str) -> Step:
    return step(place, "DELETE FROM instances WHERE uuid = :uuid")


# The project of the mapping in which map_instances stores its progress.
MARKER = "INSTANCE_MIGRATION_MARKER"

REQUEST = (
    "INSERT INTO build_requests (created_at, project_id, instance_uuid) "
    "VALUES (:young, :project, :uuid)"
)
NO_REQUEST = step(API, "DELETE FROM build_requests WHERE instance_uuid = :uuid")
UNMAP = step(API, "DELETE FROM instance_mappings WHERE instance_uuid = :uuid")

LIVE = instance(HERE)
DEAD = {"deleted": "1", "vm_state": "'deleted'"}
SOFT = {"vm_state": "'soft-delete'"}
IS_DEAD = "deleted = id, deleted_at = :young, vm_state = 'deleted', task_state = NULL"
QUEUED, NOT_QUEUED = "queued_for_delete = TRUE", "queued_for_delete = FALSE"
COPIED = "id, uuid, project_id, user_id, vm_state, deleted, created_at"
TO_SHADOW = step(
    HERE,
    f"INSERT INTO shadow_instances ({COPIED}) "
    f"SELECT {COPIED} FROM instances WHERE uuid = :uuid",
    "DELETE FROM instances WHERE uuid = :uuid",
)


def boot(**columns: str) -> tuple[Step, ...]:
    """Return the steps of a boot."""
    unscheduled = mapping("NULL", born="young")
    return (
        step(API, unscheduled.sql, REQUEST),
        instance(HERE, born="young", vm_state="'building'", **columns),
        remap("cell_id = :here"),
        NO_REQUEST,
    )


def swap(source: str, target: str) -> tuple[Step, ...]:
    """Return the steps that make the copy in *target* the instance of a server."""
    return (
        change(target, "hidden = FALSE"),
        remap(f"cell_id = :{target}"),
        change(source, "hidden = TRUE"),
    )


def resize(source: str, target: str) -> tuple[Action, ...]:
    """Return cross-cell resizes: one is confirmed, one reverted, and one fails."""
    way = "out" if source == HERE else "in"
    mapped = (instance(source), mapping(f":{source}"))
    copied = instance(target, hidden="TRUE")
    swapped = swap(source, target)
    resized = (*mapped, copied, *swapped)
    back = swap(target, source)
    return (
        Action(
            name=f"resize-{way}",
            before=mapped,
            steps=(copied, *swapped, remove(source)),
        ),
        Action(name=f"revert-{way}", before=resized, steps=(*back, remove(target))),
        Action(name=f"rollback-{way}", before=mapped, steps=(copied, remove(target))),
    )


DELETE = (change(HERE, "task_state = 'deleting'"), remap(QUEUED), change(HERE, IS_DEAD))
SOFT_DELETE = (
    change(HERE, "task_state = 'soft-deleting', deleted_at = :young"),
    remap(QUEUED),
    change(HERE, "vm_state = 'soft-delete', task_state = NULL"),
)
RESTORE = (
    change(HERE, "task_state = 'restoring', deleted_at = NULL"),
    remap(NOT_QUEUED),
    change(HERE, "vm_state = 'active', task_state = NULL"),
)
LOCAL_DELETE = (
    change(HERE, "vm_state = 'deleted', task_state = NULL"),
    remap(QUEUED),
    change(HERE, IS_DEAD),
)

ACTIONS = (
    Action(name="boot", steps=boot(), new=True),
    # Its id is committed behind the walk.
    Action(name="boot-late", steps=boot(id=":hole"), new=True),
    Action(name="late", steps=(instance(HERE, id=":hole"),), new=True),
    Action(name="boot-cancelled", steps=(boot()[0], NO_REQUEST, UNMAP), new=True),
    # No host was found: nova buries the instance in cell0, which is another cell.
    Action(
        name="boot-buried",
        steps=(
            boot()[0],
            instance(THERE, born="young", vm_state="'error'", host="NULL"),
            remap("cell_id = :there"),
            NO_REQUEST,
        ),
        new=True,
    ),
    Action(name="delete", before=(LIVE,), steps=DELETE, asks=True),
    Action(name="delete-mapped", before=(LIVE, mapping(":here")), steps=DELETE),
    Action(name="local-delete", before=(LIVE,), steps=LOCAL_DELETE, asks=True),
    Action(
        name="delete-failed",
        before=(LIVE, mapping(":here")),
        steps=(*DELETE[:2], change(HERE, "vm_state = 'error', task_state = NULL")),
    ),
    Action(
        name="delete-unscheduled",
        before=(instance(HERE, host="NULL"), mapping(":here")),
        steps=(change(HERE, IS_DEAD), remap(QUEUED)),
    ),
    Action(name="soft-delete", before=(LIVE,), steps=SOFT_DELETE, asks=True),
    Action(name="restore", before=(instance(HERE, **SOFT),), steps=RESTORE, asks=True),
    Action(
        name="restore-mapped",
        before=(
            instance(HERE, **SOFT),
            mapping(":here", queued_for_delete="TRUE"),
        ),
        steps=RESTORE,
    ),
    Action(
        name="reclaim", before=(instance(HERE, **SOFT),), steps=(change(HERE, IS_DEAD),)
    ),
    Action(name="archive", before=(instance(HERE, **DEAD),), steps=(TO_SHADOW, UNMAP)),
    Action(
        name="archive-mapped",
        before=(instance(HERE, **DEAD), mapping(":here")),
        steps=(TO_SHADOW, UNMAP),
    ),
    Action(
        name="purge",
        before=(instance(HERE, **DEAD), TO_SHADOW),
        steps=(step(HERE, "DELETE FROM shadow_instances WHERE uuid = :uuid"),),
    ),
    *resize(HERE, THERE),
    *resize(THERE, HERE),
    # Nova unshelves and evacuates within a cell.
    Action(
        name="shelve",
        before=(LIVE,),
        steps=(
            change(HERE, "vm_state = 'shelved_offloaded', host = NULL"),
            change(HERE, "vm_state = 'active', host = 'compute-2'"),
        ),
        asks=True,
    ),
    Action(
        name="evacuate",
        before=(LIVE,),
        steps=(change(HERE, "host = 'compute-2'"),),
        asks=True,
    ),
    Action(
        name="map_instances", before=(LIVE,), steps=(mapping(":here", born="young"),)
    ),
    Action(
        name="map_instances-marker",
        steps=(
            mapping("NULL", born="young", project_id=f"'{MARKER}'"),
            UNMAP,
        ),
        new=True,
    ),
    Action(
        name="map_instances-deleted",
        before=(instance(HERE, **DEAD),),
        steps=(mapping(":here", born="young"),),
    ),
    Action(
        name="populate_user_id",
        before=(LIVE, mapping(":here", user_id="NULL")),
        steps=(remap("user_id = :user"),),
    ),
    Action(
        name="populate_queued_for_delete",
        before=(instance(HERE, **DEAD), mapping(":here", queued_for_delete="NULL")),
        steps=(remap(QUEUED),),
    ),
)


def prefixes(action: Action) -> Iterator[Prefix]:
    """Yield each prefix of an action; it has one step at least."""
    for length in range(1, len(action.steps) + 1):
        yield Prefix(action, length)


PREFIXES = {prefix.name: prefix for action in ACTIONS for prefix in prefixes(action)}
