"""A missing privilege is named, with exit code 77."""

import os
import re
import sys
from pathlib import Path

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness.cloud import ROOT, Cloud
from tests.harness.inside import last_line

# SQLite has neither users nor passwords.
WITH_ACCOUNTS = pytest.mark.only_on("mysql", "postgresql")


@WITH_ACCOUNTS
def test_wrong_password_of_the_api_database(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    wrong = text(cloud.url.set(password="xyzzy-wrong-plugh"))
    cloud.configure(api_database={"connection": wrong})

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert finished.code == 77
    assert last_line(finished).startswith("error: API database (")


@WITH_ACCOUNTS
def test_wrong_password_of_a_cell_database(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    wrong = text(cloud.url.set(password="xyzzy-wrong-plugh"))
    lost = cloud.add_cell("lost", connection=wrong.replace("_api", "_lost"))

    finished = cloud.alembic("upgrade", "head", cell=lost.uuid)

    assert finished.code == 77
    assert last_line(finished).startswith(f"error: cell lost ({lost.uuid}) (")
    assert cloud.our_tables() == set()


@pytest.mark.only_on("mysql")
def test_database_that_is_not_there_may_be_a_wrong_name(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    nowhere = text(cloud.url.set(database="nosuch"))
    cloud.configure(api_database={"connection": nowhere})

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert finished.code == 77
    assert last_line(finished).endswith("or correct the database's name")


def test_missing_privilege_is_named(make_cloud: MakeCloud, backend: str) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert finished.code == 77
    assert re.search("denied|readonly", last_line(finished))
    assert cloud.mappings() == {}


@WITH_ACCOUNTS
def test_privilege_to_insert_is_named(make_cloud: MakeCloud, backend: str) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()
    alembic = cloud.alembic
    assert alembic("upgrade", "0001", cell="cell1", x={"max_rows": "1"}).code == 0
    cloud.clear()
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})
    cloud.cells[0].add_instance()

    finished = alembic("upgrade", "0001", cell="cell1")

    assert finished.code == 77
    assert re.search("INSERT command denied|permission denied for", finished.err)


@pytest.mark.only_on("sqlite")
def test_cell_is_read_with_no_more_than_select(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    first = cloud.add_cell("cell1")
    uuids = first.add_instances(3)
    reader = cloud.server(backend).readonly(first.url)
    update = cloud.tables["cell_mappings"].update()
    cloud.execute(update.values(database_connection=text(reader)))

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (finished.code, finished.err) == (0, "")
    assert set(uuids) == cloud.mapped_uuids(first)


def test_unreadable_nova_conf_is_named(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    locked = cloud.config_file.with_name("locked.conf")
    locked.write_text("[api_database]\n")
    locked.chmod(0o000)

    finished = unprivileged(cloud, locked)

    assert finished.code == 77
    assert last_line(finished) == (
        f"error: {locked} may not be read by this user; run as nova, or as a member "
        "of its group"
    )


def unprivileged(cloud: Cloud, config: Path) -> Finished:
    """Upgrade with *config* without root's right to read every file."""
    alembic = [sys.executable, "-m", "alembic", "-c", f"{ROOT}/alembic.ini"]
    command = [*alembic, "-x", f"config_file={config}", "upgrade", "head"]
    if os.geteuid() == 0:
        drop = "--bounding-set=-dac_override,-dac_read_search"
        command = ["setpriv", drop, *command]
    execute = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    return cloud.run("-c", execute, *command).wait()
