"""Decide the outcomes of 0001 a second time, by the rules of the specification."""

from dataclasses import dataclass, field
from datetime import timedelta

from cellmap_migrations.testing.rows import CELL0

GRACE = timedelta(seconds=600)

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Hold an instance of one cell; its uuid is the number of the server."""

    server: int
    deleted: bool = False
    hidden: bool | None = False
    vm_state: str = "active"
    project: bool = True
    user: bool = True
    # Seconds since its creation, None for NULL.
    age: int | None = 10_000

    @property
    def live(self) -> bool:
        """Return True if the row is neither deleted nor the hidden half of a resize."""
        return not self.deleted and not self.hidden


@dataclass(frozen=True, kw_only=True)
class World:
    """Hold cells with their rows, and the mapping and state of each server."""

    cells: list[dict[int, Row]]
    # The index of a cell, or None for a mapping without one.
    mapped: dict[int, int | None] = field(default_factory=dict)
    building: frozenset[int] = frozenset()
    # The cells that cannot be asked.
    down: frozenset[int] = frozenset()


def outcome(world: World, here: int, row: Row) -> str:  # noqa: PLR0911 - one a rule
    """Return the outcome of a row of the cell *here*."""
    if row.server == 0:
        return "placeholder"
    if row.hidden:
        return "hidden"
    if row.server not in world.mapped:
        unfit = not row.project or (not row.deleted and not row.user)
        return "rejected" if unfit else "mapped"
    there = world.mapped[row.server]
    if there == here:
        return "already"
    if there is None:
        return "in_flight" if not older(row, GRACE) or boots(world, row) else "filled"
    if there in world.down:
        return "unresolved"
    copy = world.cells[there].get(row.server)
    if copy is None:
        return "moved"
    if copy.hidden:
        return "in_flight"
    if row.deleted:
        return "elsewhere"
    return "moved" if copy.deleted else "conflict"


def older(row: Row, age: timedelta) -> bool:
    """Return True if a row is older than *age*; one without a time is old."""
    return row.age is None or timedelta(seconds=row.age) > age


def boots(world: World, row: Row) -> bool:
    """Return True if nova has not handed the server to a compute host yet."""
    building = row.vm_state == "building" and not row.deleted
    return building and row.server in world.building


def died(world: World, here: int) -> bool:
    """Return True if a boot in the cell *here* has taken longer than a day."""
    return any(
        outcome(world, here, row) == "in_flight"
        and world.mapped[row.server] is None
        and older(row, DAY)
        for row in world.cells[here].values()
    )


def orphans(world: World, here: int) -> int:
    """Return the number of mappings to *here* without instance, or 0 if few."""
    named = [server for server, place in world.mapped.items() if place == here]
    gone = [server for server in named if server not in world.cells[here]]
    return len(gone) if len(gone) * 2 > len(named) else 0


def exit_code(outcomes: dict[str, int], *, died: bool) -> int:
    """Return the exit code of a run with these outcomes, and a boot that *died*."""
    if outcomes.get("conflict") or outcomes.get("rejected") or died:
        return 65
    return 75 if outcomes.get("unresolved") else 0


def uuid_of(server: int) -> str:
    """Return the uuid of a server; the first one is nova's placeholder."""
    return CELL0 if server == 0 else f"{server:08x}-0000-4000-8000-{server:012x}"
