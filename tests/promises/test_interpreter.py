"""The output of a command does not depend on the interpreter that it runs in."""

import pytest

from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import Cloud

COMMANDS = (
    ["cells"],
    ["cells", "--output", "json"],
    ["check", "--cell", "all"],
    ["repair", "--cell", "cell1", "--dry-run"],
)


@pytest.fixture
def wrong(cloud: Cloud) -> Cloud:
    """A cloud with differences of several kinds."""
    cell, _ = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for _ in range(3):
        cell.add_instance()
        cloud.map(cell.add_instance(), cell, user_id="somebody else")
        cloud.map(cell.add_instance(deleted=True), cell, queued_for_delete=False)
    return cloud


def said(cloud: Cloud, hash_seed: str) -> list[Finished]:
    """Run each command in a new interpreter, whose sets have an order of their own."""
    files = ["--config-file", str(cloud.config_file)]
    return [
        cloud.run(
            *("-m", "cellmap_migrations.cli", *files, *command),
            env={"PYTHONHASHSEED": hash_seed},
        ).wait()
        for command in COMMANDS
    ]


def test_output_is_the_same_in_every_interpreter(wrong: Cloud) -> None:
    first, second = said(wrong, "1"), said(wrong, "2")

    assert first == second
    assert [finished.code for finished in first] == [0, 0, 3, 0]
