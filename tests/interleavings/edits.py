"""Edit the row of a cell in ``cell_mappings`` at one statement of an upgrade."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from tests.interleavings.actions import API, Action, Prefix, step
from tests.interleavings.grid import LOCKED, Case, Explorer
from tests.interleavings.points import Point, Watch
from tests.interleavings.prepared import another_address
from tests.interleavings.walks import disturb_at
from tests.interleavings.world import State, World

# An operator acts on no instance.
OPERATOR = Prefix(Action(name="operator"), 0)


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Hold the SQL of an edit, and the SQL that an operator corrects it with.

    The correction comes after one more run.
    """

    sql: str
    correction: str = ""


def change(column: str, value: str) -> str:
    return f"UPDATE cell_mappings SET {column} = {value} WHERE uuid = :cell"


# nova-manage cell_v2 delete_cell --force
DELETE = (
    "DELETE FROM instance_mappings WHERE cell_id = :here; "
    "DELETE FROM cell_mappings WHERE uuid = :cell"
)

INSERT = (
    "INSERT INTO cell_mappings (created_at, id, uuid, name, transport_url, "
    "database_connection, disabled) VALUES (:old, 1000, :cell, 'cell1', 'none:///', "
    ":address, FALSE)"
)

EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        "respelled": Edit(sql=change("database_connection", ":another")),
        "led-astray": Edit(
            sql=change("database_connection", ":theirs"),
            correction=change("database_connection", ":address"),
        ),
        "renamed": Edit(
            sql=change("name", "'renamed'"), correction=change("name", "'cell1'")
        ),
        "deleted": Edit(sql=DELETE, correction=INSERT),
        "made-again": Edit(sql=f"{DELETE}; {INSERT}"),
    }
)

# A run is refused if the row is not as it must be.
REFUSED = 78


class Edited(Explorer):
    """Explore the statements of an upgrade before which the cell's row is edited."""

    name = "edited"

    def __init__(self, world: World) -> None:
        world.values |= {
            "cell": world.here.uuid,
            "address": text(world.here.url),
            "theirs": text(world.there.url),
            "another": another_address(world),
        }
        super().__init__(world)

    def edit(self, sql: str) -> None:
        """Edit the row in one transaction."""
        self.world.do(OPERATOR, step(API, sql))
        self.ask_again()

    def ask_again(self) -> None:
        """Forget the id of the row, which may be another one now."""
        vars(self.world.here).pop("id", None)

    def look_at_stamp(self, case: Case, watch: Watch) -> None:
        """Keep what contradicts the revision, unless it is for a deleted row."""
        if self.world.values["here"] in self.world.state().cells:
            super().look_at_stamp(case, watch)

    def nova_alone(self, case: Case) -> State:
        """Return the rows that nova leaves: no mapping that the cell's row had.

        The run may have given the row a mapping of nova's. Then it is inserted again.
        """
        nova, state = super().nova_alone(case), self.world.state()
        if self.world.values["here"] in state.cells:
            return nova
        stamps, cells = {row["stamp"] for row in state.journal}, {None, *state.cells}
        kept = {
            uuid: row
            for uuid, row in nova.mappings.items()
            if row["cell_id"] in cells
            and state.mappings.get(uuid, row)["updated_at"] not in stamps
        }
        return replace(nova, mappings=kept)

    def judge(self, case: Case) -> None:
        """Fill in the complaints. A refusal is a reason to try again later."""
        case.codes = [75 if code == REFUSED else code for code in case.codes]
        super().judge(case)
        self.ask_again()


def edit_row(explorer: Explorer, name: str, number: int) -> Case:
    """Edit the cell's row before statement *number*; judge the end."""
    assert isinstance(explorer, Edited)
    case, edit = Case(number=number, prefixes=(), kind=name), EDITS[name]

    def act(_: Any) -> None:
        try:
            explorer.edit(edit.sql)
        except (sa.exc.OperationalError, sa.exc.IntegrityError):
            case.why = LOCKED

    def run(work: Callable[[], int]) -> int:
        code = work()
        if case.why:
            return code
        again = work()
        if again not in {0, 65, 75, REFUSED}:
            case.complaints.append(("", f"the second run ended with {again}"))
        if edit.correction:
            explorer.edit(edit.correction)
        return code

    return explorer.disturb(case, act, run=run)


def edit_at(points: Collection[Point], explorer: Explorer, name: str) -> None:
    """Edit the cell's row before each of *points*; record the failures."""
    explorer.cover(f"the cell's row is {name}", 1)
    disturb_at(points, explorer, name, edit_row)
