"""The API database and a cell may be on servers of different kinds and releases."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest

from cellmap_migrations.testing import BACKENDS
from cellmap_migrations.testing.servers import Server, serving
from tests.harness.books import assert_books_balance
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside
from tests.harness.newer import NEWER, kind_named
from tests.harness.results import differences


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[str], Server]]:
    """Give the server of a name, started when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def start(name: str) -> Server:
            return stack.enter_context(serving(kind_named(name)))

        yield start


@pytest.mark.parametrize(("api", "cell"), [*permutations([*BACKENDS, *NEWER], 2)])
def test_cell_is_upgraded_checked_repaired_and_taken_back(
    tmp_path: Path, server: Callable[[str], Server], api: str, cell: str
) -> None:
    cloud = Cloud(tmp_path, server, backend=api, cell_backend=cell)
    there = cloud.add_cell("cell1")
    uuids = there.add_instances(20)
    odd = there.add_instance(deleted=True, user_id=None)
    novas = there.add_instance()
    cloud.map(novas, there)
    remove = {"remove_mappings": "yes"}

    upgraded = alembic_inside(cloud, "upgrade", "head", cell="cell1")
    assert (upgraded.code, upgraded.err) == (0, "")
    assert set(cloud.mappings()) == {*uuids, odd, novas}
    assert_books_balance(cloud, there)

    late = there.add_instance()
    cloud.remap(uuids[0], user_id=None)
    checked = cellmap_inside(cloud, "check", "--cell", "cell1", "--output", "json")
    assert checked.code == 3, checked.err
    assert differences(checked) == {"unmapped": {late}, "user_id": {uuids[0]}}

    repaired = cellmap_inside(cloud, "repair", "--cell", "cell1")
    assert (repaired.code, late in cloud.mappings()) == (0, True), repaired.err

    downgraded = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=remove)
    assert (downgraded.code, set(cloud.mappings())) == (0, {novas, late})
    cloud.close()
