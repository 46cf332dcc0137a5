"""docs/servers.rst has the oldest version of each SQL function that is sent."""

import re

from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade
from tests.harness.statements import collected, functions

PAGE = readme.DOCS / "servers.rst"

COLUMNS = {"mysql": {"MySQL", "MariaDB"}, "postgresql": {"PostgreSQL"}}

CALLED = re.compile(r"``(\w+)\(\)``")


def documented(backend: str) -> set[str]:
    """Return the functions that the page has for a server of *backend*."""
    if backend == "sqlite":
        return set(CALLED.findall(PAGE.read_text().partition("\nSQLite has ")[2]))
    headings, *rows = readme.rows("function or syntax", PAGE)
    columns = [headings.index(server) for server in COLUMNS[backend]]
    sent = [row[0] for row in rows if any(row[n] != r"\-" for n in columns)]
    return {name for cell in sent for name in CALLED.findall(cell)}


def test_every_function_that_is_sent_is_in_the_table(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(5)
    cell.add_instance(vm_state="soft-delete")
    # Inserted as a row, because it cannot be a line.
    cell.add_instance(created_at=None)

    with collected() as statements:
        ended = [
            upgrade(cloud),
            cellmap_inside(cloud, "check", "--cell", "cell1"),
            cellmap_inside(cloud, "repair", "--cell", "cell1"),
            alembic_inside(
                cloud, "downgrade", "base", cell="cell1", x={"remove_mappings": "yes"}
            ),
        ]

    assert [each.code for each in ended] == [0] * 4, ended
    sent = functions(statements)
    assert {"coalesce", "count", "sum"} <= sent
    assert sent - documented(backend) == set()


OTHER = {"sqlite": "mysql", "mysql": "postgresql", "postgresql": "sqlite"}


def test_every_function_that_compares_two_kinds_is_in_the_table(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud(cell_backend=OTHER[backend])
    cloud.add_cell("cell1").add_instances(5)

    with collected() as statements:
        upgraded = upgrade(cloud)

    assert upgraded.code == 0, upgraded.err
    sent = functions(statements)
    assert sent - documented(backend) - documented(OTHER[backend]) == set()
