"""Cells v1: the child cells are mapped, and their top-level database is refused."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import CELL0
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness import readme, status
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line
from tests.harness.refusals import COMMANDS, refused, state
from tests.harness.twins import database

PAGE = readme.DOCS / "cells-v1.rst"

CHILDREN = {"child1": 12, "child2": 9}

ERRORS = 3

EVERY = [*COMMANDS, "check"]

LOOKS = "looks like the top-level database of cells v1"


def commands(title: str) -> list[list[str]]:
    """Return the commands of a section of the page, as words."""
    return [shlex.split(line) for line in readme.commands(readme.section(PAGE, title))]


# As the page has it.
TOP = commands("The top-level database is a cell")[1][-1]


class CellsV1:
    """A cloud of cells v1; no row of cell_mappings is there before nova-manage ran."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.top = database(cloud, "top")
        self.children: list[Cell] = []
        error = {"vm_state": "error", "host": None, "node": None}
        self.errors = self.top.add_instances(ERRORS, **error)

    def add_child(self, name: str) -> None:
        """Add a child cell, and the copies of its instances at the top."""
        child = self.cloud.add_cell(name)
        uuids = child.add_instances(CHILDREN[name])
        copy_to_top(child, self.top, uuids)
        self.children.append(child)

    def register_top(self, uuid: str = TOP) -> None:
        """Let the top-level database be a cell."""
        url = text(self.top.url)
        row = {"uuid": uuid, "name": "top", "database_connection": url}
        self.cloud.insert("cell_mappings", transport_url="rabbit://top/", **row)
        self.top.uuid, self.top.name = uuid, "top"

    def perform(self, words: list[str]) -> int:
        """Do what a command of the page does, and return its exit code."""
        program, *arguments = words
        if program == "cellmap-status":
            return status.check(self.cloud).code
        if program == "cellmap":
            return cellmap_inside(self.cloud, *arguments).code
        return self.nova_manage(*arguments[1:])

    def nova_manage(self, command: str, *arguments: str) -> int:
        """Do to the rows of cell_mappings what nova-manage cell_v2 does."""
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        if command == "map_cell0":
            self.cloud.add_cell("cell0", uuid=CELL0)
        elif command == "create_cell":
            self.add_child(given["--name"])
        elif command == "update_cell":
            assert given["--cell_uuid"] == CELL0
            self.cloud.lead(self.cloud.cells[0], text(self.top.url))
        else:
            assert (command, given) == ("delete_cell", {"--cell_uuid": TOP})
            # As nova: a cell with instances cannot be deleted.
            if self.cloud.mapped_uuids(self.top):
                return 3
            table = self.cloud.tables["cell_mappings"]
            self.cloud.execute(table.delete().filter_by(uuid=TOP))
        return 0

    def owners(self) -> dict[str, set[str]]:
        """Return the uuids that are mapped to each child."""
        return {str(cell.name): self.cloud.mapped_uuids(cell) for cell in self.children}

    def owned(self) -> dict[str, set[str]]:
        """Return the uuids that live in each child."""
        return {str(cell.name): set(cell.uuids()) for cell in self.children}


def copy_to_top(child: Cell, top: Cell, uuids: list[str]) -> None:
    """Put the rows into the top-level database as nova-cells does."""
    rows: list[dict[str, Any]] = [row for uuid in uuids if (row := child.row(uuid))]
    for row in rows:
        del row["id"]
        row["cell_name"] = f"api!{child.name}"
    with top.engine.begin() as connection:
        connection.execute(top.instances.insert(), rows)


@pytest.fixture
def v1(make_cloud: MakeCloud) -> CellsV1:
    """Make a cloud in which nova-manage has not been run yet."""
    return CellsV1(make_cloud())


@pytest.fixture
def registered(v1: CellsV1) -> CellsV1:
    """A cloud whose top-level database is a cell, and the first one."""
    v1.register_top()
    v1.nova_manage("map_cell0")
    for name in CHILDREN:
        v1.add_child(name)
    return v1


def perform(v1: CellsV1, title: str) -> list[int]:
    """Run the commands of a section, and return their exit codes."""
    return [v1.perform(words) for words in commands(title)]


def test_commands_of_the_page_map_the_cloud(v1: CellsV1) -> None:
    codes = perform(v1, "Map the child cells")
    mapped = v1.owners()
    with v1.top.engine.connect() as connection:
        [query] = readme.sql("top-level database of cells v1")
        only_at_top = {row.uuid for row in connection.exec_driver_sql(query)}
    with v1.top.engine.begin() as connection:
        [delete] = readme.sql("top-level database that becomes the database of cell0")
        connection.exec_driver_sql(delete)
    title = "Instances that are only in the top-level database"
    codes += perform(v1, title)
    checked = cellmap_inside(v1.cloud, "check", "--cell", "all")

    assert set(codes) == {0}
    assert mapped == v1.owners() == v1.owned()
    assert only_at_top == set(v1.errors)
    assert v1.cloud.mapped_uuids(v1.cloud.cells[0]) == set(v1.errors)
    assert checked.code == 0, checked.out


def test_top_level_database_is_refused_until_its_row_is_deleted(
    registered: CellsV1,
) -> None:
    upgrade, *rest = commands("The top-level database is a cell")
    lines = [refused(registered.cloud, registered.top, word) for word in EVERY]
    checked = status.check(registered.cloud)
    codes = [registered.perform(upgrade)]
    lines += [refused(registered.cloud, registered.top, "upgrade")]
    codes += [registered.perform(words) for words in rest]

    child1, child2 = registered.children
    counts = "21 of 24 live instances looked at, and 21 of them live in other cells"
    has = f"child1 ({child1.uuid}) has 12, child2 ({child2.uuid}) has 9"
    for line in lines:
        assert line.startswith(f"error: cell top ({TOP}) {LOOKS}: cell_name is set in ")
        assert f"{counts} too ({has})" in line
    assert checked.results["top"] == status.FAILURE
    assert LOOKS in checked.details["top"]
    assert "run cellmap upgrade" not in checked.details["top"]
    assert (codes, registered.owners()) == ([65, 0, 0], registered.owned())


@pytest.mark.only_on("sqlite")
def test_cell_that_cannot_be_asked_may_have_the_instances(registered: CellsV1) -> None:
    registered.cloud.configure(cellmap={"connect_timeout": 1})
    url = f"mysql+pymysql://nova@127.0.0.1:{free_port()}/nova"
    for child in registered.children:
        registered.cloud.lead(child, url)
        url += "2"
    before = state(registered.cloud)

    finished = cellmap_inside(registered.cloud, "upgrade", "--cell", "top")

    assert (finished.code, state(registered.cloud)) == (75, before)
    assert "may be the top-level database of cells v1" in last_line(finished)


@pytest.mark.only_on("sqlite")
def test_instances_without_a_copy_are_mapped_whatever_their_cell_name(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(3, cell_name="api!child1")
    copy_to_top(cell, other, uuids[:1])
    other.add_instances(3)

    codes = [
        cellmap_inside(cloud, "upgrade", "--cell", name).code
        for name in ("cell1", "cell2")
    ]

    assert codes == [0, 65]
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("sqlite")
def test_database_without_the_column_is_no_top_level_database(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    with cell.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE instances DROP COLUMN cell_name")

    assert cellmap_inside(cloud, "upgrade", "--cell", "cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_mappings_to_the_top_level_database_are_taken_back(v1: CellsV1) -> None:
    cloud = v1.cloud
    v1.register_top()
    v1.add_child("child1")
    child, uuids = v1.children[0], v1.children[0].uuids()
    cloud.map_to(v1.top.id, [*v1.errors, *uuids[:6]])
    with not_registered(cloud, child):
        mapped = alembic_inside(cloud, "upgrade", "head", cell=TOP)
    downgrade, *rest = commands(
        "Instances are mapped to the top-level database already"
    )

    line = refused(cloud, child, "upgrade")
    codes = [v1.perform(downgrade)]
    left = cloud.mapped_uuids(v1.top)
    for statement in readme.sql("mappings to the top-level database of cells v1"):
        cloud.sql(statement)
    codes += [v1.perform(words) for words in rest]

    assert mapped.code == 0
    assert f"12 live instances looked at are mapped to cell top ({TOP})" in line
    assert left == {*v1.errors, *uuids[:6]}
    assert codes == [0, 65, 0]
    assert v1.owners() == v1.owned()


@contextmanager
def not_registered(cloud: Cloud, cell: Cell) -> Iterator[None]:
    """Take the row of a cell out of cell_mappings for a while."""
    table = cloud.tables["cell_mappings"]
    [row] = [row for row in cloud.rows(table.name) if row["uuid"] == cell.uuid]
    cloud.execute(table.delete().filter_by(uuid=cell.uuid))
    yield
    cloud.execute(table.insert().values(row))
