"""What a program reads on stdout."""

import json

import pytest

from tests.nova.cell import Cell
from tests.nova.cloud import Cloud
from tests.nova.inside import alembic_inside
from tests.nova.process import Extra

UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """A cell, the only one, with an instance."""
    cell = cloud.add_cell("cell1")
    cell.add_instance()
    return cell


FAILURES: list[tuple[str | None, Extra, int]] = [
    (None, {}, 78),
    (UNKNOWN, {}, 78),
    ("cell1", {"nonsense": "1"}, 78),
    ("cell1", {"max_rows": "none"}, 78),
    ("cell1", {"config_file": "/nonexistent/nova.conf"}, 78),
    ("cell1", {"time_limit": "0.000001"}, 75),
    ("broken", {}, 78),
]


@pytest.mark.parametrize(("selector", "x", "code"), FAILURES)
def test_json_is_one_object_on_one_line_also_on_failure(
    cloud: Cloud, cell: Cell, selector: str | None, x: Extra, code: int
) -> None:
    cloud.add_cell("broken", connection="no url")
    options: Extra = {"output": "json", **x}

    finished = alembic_inside(cloud, "upgrade", "head", cell=selector, x=options)

    [line] = finished.out.splitlines()
    result = json.loads(line)
    uuid = cell.uuid if result["name"] == "cell1" else result["cell"]
    assert uuid == result["cell"]
    assert (code, code, False) == (
        finished.code,
        result["exit_code"],
        result["complete"],
    )
    assert f"error: {result['reason']}" == finished.err.splitlines()[-1]


def test_json_of_a_success_has_the_promised_names(cloud: Cloud, cell: Cell) -> None:
    options = {"output": "json"}

    finished = alembic_inside(cloud, "upgrade", "0001", cell="cell1", x=options)

    [line] = finished.out.splitlines()
    result = json.loads(line)
    assert (result["cell"], result["name"]) == (cell.uuid, "cell1")
    assert (result["revision"], result["complete"]) == ("0001", True)
    assert (result["exit_code"], result["reason"]) == (0, "")
    assert (result["mapped"], result["rejected"]) == (1, 0)
    assert {"seconds", "rows_per_second"} < result.keys()


def test_nothing_to_do_leaves_stdout_empty(cloud: Cloud, cell: Cell) -> None:
    first = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    second = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert first.out.startswith(f"cell1 ({cell.uuid}): 1 mapped in ")
    assert (second.code, second.out, second.err) == (0, "", "")


def test_nothing_to_do_is_still_one_object_for_programs(
    cloud: Cloud, cell: Cell
) -> None:
    alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    options = {"output": "json"}
    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid, x=options)

    result = json.loads(finished.out)
    assert (result["complete"], result["mapped"], finished.err) == (True, 0, "")
