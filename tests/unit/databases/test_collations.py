"""The uuids of mappings are compared as the collation of their column says."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.cloud import Cloud as AnyCloud
from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line

# Not 36 characters, so that a space can follow.
UUID = "abcdef12-0000-4000-8000-00000000abc"
OTHER = UUID.replace("f12", "f13")
UPPER, PADDED = UUID.upper(), f"{OTHER} "


class Collated(NamedTuple):
    """A collation, and what it ignores."""

    backend: str
    name: str
    ignores_case: bool
    ignores_padding: bool

    @property
    def apart(self) -> set[str]:
        """The instances that differ from UPPER and PADDED under the collation."""
        ignored = {UUID: self.ignores_case, OTHER: self.ignores_padding}
        return {uuid for uuid, same in ignored.items() if not same}


COLLATIONS = [
    Collated("mysql", "utf8mb3_general_ci", True, True),
    Collated("mysql", "utf8mb3_bin", False, True),
    Collated("mysql", "utf8mb4_general_nopad_ci", True, False),
    Collated("mysql", "utf8mb4_nopad_bin", False, False),
    Collated("postgresql", "C", False, False),
    Collated("postgresql", "deterministic", False, False),
    Collated("postgresql", "ignores_case", True, False),
    Collated("sqlite", "BINARY", False, False),
]
# MySQL has other names for collations that do not ignore trailing spaces.
MYSQL = {
    "utf8mb4_general_nopad_ci": "utf8mb4_0900_ai_ci",
    "utf8mb4_nopad_bin": "utf8mb4_0900_bin",
}
# Under these PostgreSQL takes more than spellings of one uuid for equal.
CONFUSED = ("ignores_spaces", "numeric")
LOCALES = {
    "deterministic": "'und-u-ks-level2'",
    "ignores_case": "'und-u-ks-level2', deterministic = false",
    "ignores_spaces": "'und-u-ka-shifted', deterministic = false",
    "numeric": "'und-u-kn-true', deterministic = false",
}


def each(*collations: Collated) -> pytest.MarkDecorator:
    """Let a test have each of the *collations*, and its backend."""
    return pytest.mark.parametrize(
        ("backend", "collated"),
        [(found.backend, found) for found in collations],
        ids=[found.name for found in collations],
        indirect=["backend"],
    )


every_collation = each(*COLLATIONS)
ignoring_case = each(*(found for found in COLLATIONS if found.ignores_case))


def collate(database: AnyCloud | Cell, collation: str) -> None:
    """Give the column of the uuids in the *database* a collation."""
    table = "instances" if isinstance(database, Cell) else "instance_mappings"
    column = "uuid" if isinstance(database, Cell) else "instance_uuid"
    with database.engine.begin() as connection:
        for statement in statements(connection, table, column, collation):
            connection.exec_driver_sql(statement)


def statements(
    connection: sa.Connection, table: str, column: str, collation: str
) -> Iterator[str]:
    """Yield the SQL that gives *column* the *collation*."""
    name = connection.dialect.name
    if name == "mysql":
        if not getattr(connection.dialect, "is_mariadb", False):
            collation = MYSQL.get(collation, collation)
        charset = collation.partition("_")[0]
        yield (
            f"ALTER TABLE {table} MODIFY {column} VARCHAR(36) "
            f"CHARACTER SET {charset} COLLATE {collation} NOT NULL"
        )
    elif name == "postgresql":
        if locale := LOCALES.get(collation):
            yield f"CREATE COLLATION {collation} (provider = icu, locale = {locale})"
        kind = f'VARCHAR(36) COLLATE "{collation}"'
        yield f"ALTER TABLE {table} ALTER {column} TYPE {kind}"


@pytest.fixture
def collation(backend: str) -> str:
    """A collation that tells all spellings of a uuid apart."""
    return {"mysql": "utf8mb4_nopad_bin", "postgresql": "C"}.get(backend, "BINARY")


@pytest.fixture
def cell(make_cloud: MakeCloud) -> Cell:
    """A cell with two mapped instances."""
    cloud = make_cloud()
    found = cloud.add_cell("cell1")
    cloud.map_to(found.id, found.add_instances(2))
    return found


def remedy(backend: str) -> str:
    """Return the SQL that docs/troubleshooting.rst shows for *backend*."""
    title = "The API database takes two uuids for one"
    page = readme.section(readme.DOCS / "troubleshooting.rst", title)
    name = {"mysql": "MariaDB", "postgresql": "PostgreSQL"}[backend]
    head = f"-- {name}: tell the uuids apart\n"
    (block,) = [each for each in readme.blocks("sql", page) if each.startswith(head)]
    return block.removeprefix(head)


def cloud_of(cell: Cell) -> Cloud:
    """Return the cloud of *cell*."""
    assert isinstance(cell.api, Cloud)
    return cell.api


def other_spellings(cell: Cell, collation: str) -> Cloud:
    """Map two instances of *cell* in other spellings; return the cloud."""
    collate(cloud_of(cell), collation)
    for uuid, mapped in ((UUID, UPPER), (OTHER, PADDED)):
        cell.add_instance(uuid=uuid)
        cell.api.map(mapped, cell)
    return cloud_of(cell)


@every_collation
def test_upgrade_maps_what_nova_does_not_find(cell: Cell, collated: Collated) -> None:
    before = {*cell.api.mappings()}
    cloud = other_spellings(cell, collated.name)

    x = {"output": "json"}
    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid, x=x)

    mapped = json.loads(finished.out)["mapped"]
    assert (finished.code, mapped) == (0, len(collated.apart))
    assert cloud.mappings().keys() == {*before, UPPER, PADDED, *collated.apart}


@every_collation
def test_repair_leaves_one_mapping_in_the_spelling_of_the_cell(
    cell: Cell, collated: Collated
) -> None:
    cloud = other_spellings(cell, collated.name)

    differs = cellmap_inside(cloud, "check", "--cell", cell.uuid)
    repaired = cellmap_inside(cloud, "repair", "--cell", cell.uuid)

    assert (differs.code, repaired.code) == (3, 0)
    assert cloud.mappings().keys() == {*cell.uuids()}
    assert cellmap_inside(cloud, "check", "--cell", cell.uuid).code == 0


@ignoring_case
def test_check_sees_a_spelling_that_both_databases_ignore(
    cell: Cell, collated: Collated
) -> None:
    cloud = cloud_of(cell)
    for database in (cloud, cell):
        collate(database, collated.name)
    cell.add_instance(uuid=UUID)
    cloud.map(UPPER, cell)

    differs = cellmap_inside(cloud, "check", "--cell", cell.uuid)
    repaired = cellmap_inside(cloud, "repair", "--cell", cell.uuid)

    assert (differs.code, repaired.code) == (3, 0)
    assert cloud.mappings().keys() == {*cell.uuids()}


@every_collation
def test_instances_that_the_index_tells_apart_have_a_mapping_each(
    cell: Cell, collated: Collated
) -> None:
    cloud = cloud_of(cell)
    for database in (cloud, cell):
        collate(database, collated.name)
    for uuid in {UPPER, PADDED, *collated.apart}:
        cell.add_instance(uuid=uuid)
    for uuid in collated.apart:
        cloud.map(uuid, cell)

    options = ["--cell", cell.uuid, "--output", "json"]
    foretold = cellmap_inside(cloud, "upgrade", "--dry-run", *options)
    finished = cellmap_inside(cloud, "upgrade", *options)

    counts = [json.loads(done.out)["mapped"] for done in (foretold, finished)]
    assert (finished.code, counts) == (0, [2, 2])
    assert cloud.mappings().keys() == {*cell.uuids()} > collated.apart
    assert cellmap_inside(cloud, "check", "--cell", cell.uuid).code == 0


@every_collation
def test_instance_in_upper_case_is_mapped_as_the_cell_spells_it(
    cell: Cell, collated: Collated, collation: str
) -> None:
    cloud = cloud_of(cell)
    collate(cloud, collated.name)
    collate(cell, collation)
    cell.add_instance(uuid=UPPER)

    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert finished.code == 0
    assert cloud.mappings().keys() == {*cell.uuids()}
    assert cellmap_inside(cloud, "check", "--cell", cell.uuid).code == 0


def upper_case_elsewhere(
    cell: Cell, collated: Collated, collation: str
) -> tuple[Cloud, Cell]:
    """Add a cell with an instance in upper case; return the cloud and the cell."""
    cloud = cloud_of(cell)
    owner = cloud.add_cell("cell2")
    collate(cloud, collated.name)
    collate(owner, collation)
    owner.add_instance(uuid=UPPER)
    return cloud, owner


@ignoring_case
def test_mapping_stays_that_an_instance_in_upper_case_of_another_cell_has(
    cell: Cell, collated: Collated, collation: str
) -> None:
    cloud, owner = upper_case_elsewhere(cell, collated, collation)
    cloud.map(UUID, cell)

    repaired = cellmap_inside(cloud, "repair", "--cell", cell.uuid)

    assert (repaired.code, f"live in cell2 ({owner.uuid})" in repaired.err) == (0, True)
    assert UUID in cloud.mappings()
    moved = alembic_inside(cloud, "upgrade", "head", cell=owner.uuid)
    repaired = cellmap_inside(cloud, "repair", "--cell", owner.uuid)
    assert (moved.code, repaired.code) == (0, 0)
    assert cloud.mapped_uuids(owner) == {UPPER}


@ignoring_case
def test_instance_in_upper_case_keeps_its_mapping_to_another_cell(
    cell: Cell, collated: Collated, collation: str
) -> None:
    cloud, owner = upper_case_elsewhere(cell, collated, collation)
    cloud.map(UPPER, owner)
    cell.add_instance(uuid=UUID)

    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert (finished.code, cloud.mapped_uuids(owner)) == (65, {UPPER})


@ignoring_case
@pytest.mark.parametrize("mapped", ["to no cell", "to the cell", "not"])
def test_two_instances_that_the_index_takes_for_one_are_a_conflict(
    cell: Cell, collated: Collated, collation: str, backend: str, mapped: str
) -> None:
    cloud = cloud_of(cell)
    collate(cloud, collated.name)
    collate(cell, collation)
    for uuid in (UUID, UPPER):
        cell.add_instance(uuid=uuid)
    if mapped != "not":
        cloud.map(UPPER, cell if mapped == "to the cell" else None)

    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)
    checked = cellmap_inside(cloud, "check", "--cell", cell.uuid, "--output", "json")
    repaired = cellmap_inside(cloud, "repair", "--cell", cell.uuid)

    left = next(iter({UUID, UPPER} - cloud.mappings().keys()))
    assert (finished.code, checked.code, repaired.code) == (65, 3, 65)
    assert json.loads(checked.out)["differences"]["conflict"]["uuids"] == [left]
    cloud.sql(remedy(backend))
    assert alembic_inside(cloud, "upgrade", "head", cell=cell.uuid).code == 0
    assert cloud.mappings().keys() == {*cell.uuids()}


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("collation", CONFUSED)
def test_collation_that_takes_different_uuids_for_one_is_refused(
    cell: Cell, collation: str, backend: str
) -> None:
    cloud = cloud_of(cell)
    collate(cloud, collation)
    cell.add_instance(uuid=UUID)

    refused = [
        alembic_inside(cloud, "upgrade", "head", cell=cell.uuid),
        cellmap_inside(cloud, "check", "--cell", cell.uuid),
        cellmap_inside(cloud, "repair", "--cell", cell.uuid),
    ]

    assert [finished.code for finished in refused] == [78, 78, 78]
    assert "collation of instance_mappings.instance_uuid" in last_line(refused[0])
    assert UUID not in cloud.mappings()
    cloud.sql(remedy(backend))
    assert alembic_inside(cloud, "upgrade", "head", cell=cell.uuid).code == 0
    assert cellmap_inside(cloud, "check", "--cell", cell.uuid).code == 0
