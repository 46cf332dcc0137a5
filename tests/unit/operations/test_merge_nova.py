"""After a merge nova deletes the duplicate, and finds each instance and each host."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import CELL0
from cellmap_migrations.testing.servers import Server
from tests.harness import readme
from tests.harness.asking import NEWEST, Nova
from tests.harness.manage import NovaCloud
from tests.harness.twins import leading_to

PAGE = readme.section(
    readme.DOCS / "troubleshooting.rst", "One database under two cells"
)

COMMANDS = [shlex.split(command) for command in readme.commands(PAGE)]

# As the page has it.
DUPLICATE = next(words[-1] for words in COMMANDS if "delete_cell" in words)

TRANSPORT = "fake://duplicate/"

MAPPED = 0


@pytest.fixture
def cloud(
    tmp_path: Path, cellmap_server: Callable[[str], Server]
) -> Iterator[NovaCloud]:
    """A cloud that nova built, in which cell1 was created a second time as twin."""
    nova = Nova(NEWEST)
    made = NovaCloud(tmp_path, cellmap_server, nova)
    made.add_cell("cell0", uuid=CELL0)
    cell = made.add_cell("cell1")
    made.configure(database={"connection": text(made.cells[0].url)})
    with leading_to(cell) as url:
        twin = made.add_cell("twin", uuid=DUPLICATE, database=cell, connection=url)
        table = made.tables["cell_mappings"]
        row = table.update().filter_by(uuid=twin.uuid)
        made.execute(row.values(transport_url=TRANSPORT))
        yield made
    made.close()
    nova.close()


def perform(cloud: NovaCloud, words: list[str], url: str) -> int:
    """Run a command of the page, and return its exit code."""
    program, *arguments = words
    given = {"--transport-url": TRANSPORT, "--database_connection": url}
    arguments = [
        given[option] if word == "..." else word
        for option, word in zip(["", *arguments], arguments, strict=False)
    ]
    if program == "nova-manage":
        # With it nova shows passwords, which no output in these tests may have.
        without = [word for word in arguments if word != "--verbose"]
        return cloud.manage(*without).code
    # Nothing of a cloud of tests is a service.
    return 0 if program == "systemctl" else cloud.cellmap(*arguments).code


def test_commands_of_the_page_merge_and_nova_deletes_the_duplicate(
    cloud: NovaCloud,
) -> None:
    _, cell, twin = cloud.cells
    uuids = cell.add_instances(30)
    cloud.map_to(cell.id, uuids[:5])
    cloud.map_to(twin.id, uuids[5:25])
    for number, owner in enumerate((cell, twin, twin)):
        cloud.insert("host_mappings", cell_id=owner.id, host=f"compute-{number}")
    url = connection(cloud)
    too_early = cloud.manage("cell_v2", "delete_cell", "--cell_uuid", twin.uuid)

    codes = [perform(cloud, words, url) for words in COMMANDS]

    assert (too_early.code, codes) == (2, [0] * len(COMMANDS))
    assert cloud.ask("verify", uuids) == [MAPPED] * len(uuids)
    assert cloud.ask("find", uuids) == [cell.uuid] * len(uuids)
    assert {row["cell_id"] for row in cloud.rows("host_mappings")} == {cell.id}
    assert [row["uuid"] for row in cloud.rows("cell_mappings")] == [CELL0, cell.uuid]


def connection(cloud: NovaCloud) -> str:
    """Return the address of the duplicate, as its row has it."""
    [row] = [row for row in cloud.rows("cell_mappings") if row["uuid"] == DUPLICATE]
    return str(row["database_connection"])


def test_nova_deletes_a_duplicate_whose_address_is_dead(cloud: NovaCloud) -> None:
    _, cell, twin = cloud.cells
    uuids = cell.add_instances(3)
    cloud.map_to(twin.id, uuids)
    cloud.insert("host_mappings", cell_id=twin.id, host="compute-1")
    cloud.lead(twin, text(cell.url.set(port=1)))
    cloud.configure(cellmap={"connect_timeout": 1})
    merge = ("merge", "--cell", "cell1", "--from", "twin", "--database-is-gone")

    merged = cloud.cellmap(*merge)
    deleted = cloud.manage("cell_v2", "delete_cell", "--cell_uuid", twin.uuid)

    assert (merged.code, deleted.code) == (0, 0)
    assert cloud.ask("verify", uuids) == [MAPPED] * len(uuids)
