"""An error has a line for the operator, and an exit code for programs."""

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Extra, Finished
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside

UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """A cell, the only one, with an instance."""
    cell = cloud.add_cell("cell1")
    cell.add_instance()
    return cell


def upgrade_refused(
    cloud: Cloud, cell: str | None = None, x: Extra | None = None
) -> tuple[int, str]:
    """Return the exit code and the last line on stderr; stdout has to be empty."""
    return ending(alembic_inside(cloud, "upgrade", "head", cell=cell, x=x))


def refused(sentence: str) -> tuple[int, str]:
    """Return how a run ends whose configuration is refused with *sentence*."""
    return 78, sentence


def ending(finished: Finished) -> tuple[int, str]:
    """Return the exit code and the last line on stderr; stdout has to be empty."""
    assert finished.out == ""
    return finished.code, finished.err.splitlines()[-1]


def untouched(cloud: Cloud) -> bool:
    """Say whether nothing of ours was written to the API database."""
    return (cloud.mappings(), cloud.our_tables()) == ({}, set())


def test_no_cell_is_answered_with_the_list(cloud: Cloud, cell: Cell) -> None:
    nameless = cloud.add_cell(None)

    assert upgrade_refused(cloud) == refused(
        "error: no cell was given; add -x cell=, or --cell for cellmap, with a uuid, "
        "a name, local or all. "
        f"Cells: cell1 ({cell.uuid}); {nameless.uuid}",
    )
    assert untouched(cloud)


@pytest.mark.parametrize("selector", [UNKNOWN, "Cell1", "cell", "%", "' OR 1=1 --"])
def test_unknown_cell_is_answered_with_the_list(
    cloud: Cloud, cell: Cell, selector: str
) -> None:
    assert upgrade_refused(cloud, selector) == refused(
        f"error: no cell {selector!r} in cell_mappings. Cells: cell1 ({cell.uuid})",
    )
    assert untouched(cloud)


def test_cloud_without_cells_has_none_to_offer(cloud: Cloud) -> None:
    assert upgrade_refused(cloud, "cell1") == refused(
        "error: no cell 'cell1' in cell_mappings. Cells: none",
    )


def test_ambiguous_name_is_answered_with_the_uuids(cloud: Cloud, cell: Cell) -> None:
    twin = cloud.add_cell("cell1")

    assert upgrade_refused(cloud, "cell1") == refused(
        "error: 2 cells are called 'cell1'; give one of their uuids: "
        f"{cell.uuid}, {twin.uuid}",
    )


def test_two_local_cells_are_two_cells_in_one_database(
    cloud: Cloud, cell: Cell
) -> None:
    twin = cloud.add_cell("twin", database=cell)

    assert upgrade_refused(cloud, "local") == refused(
        f"error: cell cell1 ({cell.uuid}) and cell twin ({twin.uuid}) resolve to one "
        f"database, sqlite {cell.url.database}. Correct database_connection of the "
        "wrong one; if the cell was created twice, cellmap merge gives the mappings "
        "of one row to the other (docs/troubleshooting.rst)",
    )


@pytest.mark.parametrize("value", [None, ""])
def test_nova_conf_without_an_api_database_is_named(
    cloud: Cloud, cell: Cell, value: str | None
) -> None:
    cloud.configure(api_database={"connection": value})

    assert upgrade_refused(cloud, cell.uuid) == refused(
        "error: [api_database] connection is not set (read: "
        f"{cloud.config_file}); name the right file with -x config_file=, or "
        "--config-file for cellmap",
    )


@pytest.mark.parametrize("name", ["batch_second", "cells", "Cell", "", "upgrade"])
def test_unknown_option_is_an_error(cloud: Cloud, cell: Cell, name: str) -> None:
    code, line = upgrade_refused(cloud, cell.uuid, {name: "1"})

    assert code == 78
    assert line.startswith(f"error: -x {name} is not known here; known are ")
    assert " batch_seconds," in line
    assert untouched(cloud)


BAD_VALUES = {
    "missing": ["", "yes", "SKIP"],
    "output": ["", "xml", "JSON"],
    "remove_mappings": ["", "true", "YES"],
    "batch_seconds": ["", "fast", "0", "-1", "2.1", "nan"],
    "batch_rows_min": ["", "0", "-1", "1.5", "all"],
    "batch_rows_max": ["", "0", "-1", "1.5", "all", "99"],
    "grace_seconds": ["", "-1", "1.5", "ten"],
    "on_reject": ["", "ignore", "Skip"],
    "time_limit": ["", "-1", "1h", "nan"],
    "max_rows": ["", "0", "-1", "many"],
    "connect_timeout": ["", "0", "-1", "never", "nan"],
    "attempts": ["", "0", "-1", "some"],
    "max_slowdown": ["", "0.9", "-1", "nan", "fast"],
}

CASES = [(name, value) for name, values in BAD_VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_bad_value_is_an_error_that_names_the_option(
    cloud: Cloud, cell: Cell, name: str, value: str
) -> None:
    code, line = upgrade_refused(cloud, cell.uuid, {name: value})

    assert code == 78
    assert name in line
    assert " cannot be used: " in line
    assert untouched(cloud)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grace_seconds", "write a whole number, at least 0"),
        ("time_limit", "write a number, at least 0"),
        ("writers", "write a whole number, at least 1, at most 8"),
        ("max_slowdown", "write a number, at least 1, or none"),
    ],
)
def test_bad_value_is_told_the_limits(
    cloud: Cloud, cell: Cell, name: str, words: str
) -> None:
    _, line = upgrade_refused(cloud, cell.uuid, {name: "-1"})

    assert line.endswith(words)


def test_bad_value_in_nova_conf_is_an_error_that_names_the_option(
    cloud: Cloud, cell: Cell
) -> None:
    cloud.configure(cellmap={"batch_seconds": "soon"})

    code, line = upgrade_refused(cloud, cell.uuid)

    assert code == 78
    assert "batch_seconds" in line


def test_option_without_an_equals_sign_is_an_error(cloud: Cloud, cell: Cell) -> None:
    finished = alembic_inside(cloud, "-x", "cell", "upgrade", "head")

    assert finished.code == 78
    assert untouched(cloud)
    assert cell.uuids() != []


def test_offline_mode_is_refused(cloud: Cloud, cell: Cell) -> None:
    finished = alembic_inside(cloud, "upgrade", "head", "--sql", cell=cell.uuid)

    assert ending(finished) == refused(
        "error: --sql is refused: the changes depend on the rows of two databases at "
        "the time of the run, and an SQL script cannot read both",
    )
    assert untouched(cloud)


def test_unknown_revision_is_refused_in_alembics_words(
    cloud: Cloud, cell: Cell
) -> None:
    finished = alembic_inside(cloud, "upgrade", "9999", cell=cell.uuid)

    assert ending(finished) == refused(
        "error: Can't locate revision identified by '9999'",
    )


def test_null_connection_is_an_error(cloud: Cloud, cell: Cell) -> None:
    lost = cloud.add_cell("lost", connection=None)

    assert cell.uuid != lost.uuid
    assert upgrade_refused(cloud, "lost") == refused(
        f"error: cell lost ({lost.uuid}): its database_connection is NULL; correct it "
        "with nova-manage cell_v2 update_cell",
    )
    assert untouched(cloud)
