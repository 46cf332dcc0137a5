"""Hostile input ends as one line and a code, and never shows a secret."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from tests.faults import hostile
from tests.faults.tally import Tally
from tests.faults.told import assert_told
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside

BASE = (
    f"mysql+pymysql://nova:{hostile.SECRET}@127.0.0.1:1/nova?password={hostile.SECRET}"
)


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """A cloud with a cell, and with a secret that templates can ask for."""
    cloud.add_cell("cell1")
    cloud.configure(database={"connection": BASE})
    return cloud


def hunt(
    inputs: st.SearchStrategy[Any],
    try_one: Callable[[Any], None],
    cases: int,
    seed: int,
) -> None:
    """Try that many inputs; the seed, which is shown with a failure, repeats them."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=inputs)
    def each(case: Any) -> None:
        hypothesis.note(f"seed {seed}")
        try_one(case)

    each()


def put(cloud: Cloud, rows: list[dict[str, Any]]) -> None:
    """Replace the cells of the cloud by *rows*."""
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM cell_mappings")
        for row in rows:
            connection.exec_driver_sql(
                "INSERT OR IGNORE INTO cell_mappings (uuid, name, transport_url, "
                "database_connection) VALUES (?, ?, '', ?)",
                (row["uuid"], row["name"], row["connection"]),
            )


@pytest.mark.fault("rows of cell_mappings that are hostile, listed")
def test_cells_are_listed(
    cloud: Cloud, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    def try_one(case: tuple[list[dict[str, Any]], str]) -> None:
        rows, output = case
        put(cloud, rows)

        finished = cellmap_inside(cloud, "cells", "--output", output)

        assert_told(finished, as_json=output == "json")
        tallied.add(finished.code)

    outputs = st.sampled_from(["text", "json", "uuid"])
    cases = st.tuples(st.lists(hostile.rows, max_size=3), outputs)
    hunt(cases, try_one, 5_000 if thorough else 100, seed)


@pytest.mark.fault("rows of cell_mappings that are hostile, opened")
def test_cells_are_opened(
    cloud: Cloud, tallied: Tally, seed: int, tmp_path: Path, *, thorough: bool
) -> None:
    def try_one(rows: list[dict[str, Any]]) -> None:
        put(cloud, rows)

        finished = cellmap_inside(cloud, "status")

        assert_told(finished)
        assert sorted(tmp_path.iterdir()) == files
        tallied.add(finished.code)

    files = sorted(tmp_path.iterdir())
    cases = st.lists(hostile.rows, min_size=1, max_size=3)
    hunt(cases, try_one, 5_000 if thorough else 50, seed)


@pytest.mark.fault("rows of cell_mappings that are hostile, upgraded")
def test_cells_are_upgraded(
    cloud: Cloud, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    def try_one(row: dict[str, Any]) -> None:
        put(cloud, [row])

        x = {"connect_timeout": "1", "output": "json"}
        finished = alembic_inside(cloud, "upgrade", "head", cell="all", x=x)

        assert_told(finished, as_json=True)
        tallied.add(finished.code)

    hunt(hostile.rows, try_one, 500 if thorough else 10, seed)


@pytest.mark.fault("values of -x that are hostile")
def test_x_values_are_read(
    cloud: Cloud, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    def try_one(values: list[str]) -> None:
        given = [part for value in values for part in ("-x", value)]

        finished = alembic_inside(cloud, *given, "current", cell="cell1")

        assert_told(finished)
        tallied.add(finished.code)

    hunt(hostile.x_values, try_one, 5_000 if thorough else 100, seed)


@pytest.mark.fault("a nova.conf that is hostile")
def test_nova_conf_is_read(
    cloud: Cloud, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    def try_one(content: bytes) -> None:
        last.write_bytes(content)

        x = {"config_file": [str(cloud.config_file), str(last)]}
        x["connect_timeout"] = ["1"]
        finished = alembic_inside(cloud, "current", cell="cell1", x=x)

        assert_told(finished)
        tallied.add(finished.code)

    last = cloud.config_file.with_name("last.conf")
    hunt(hostile.confs, try_one, 5_000 if thorough else 50, seed)
