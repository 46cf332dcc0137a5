"""What a shell and a deployment tool see: exit codes of processes, and their stderr."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import MakeCloud
from tests.nova.cloud import ROOT, Cloud, text
from tests.nova.process import Finished

# SQLite has neither users nor passwords.
WITH_ACCOUNTS = pytest.mark.only_on("mysql", "postgresql")

# What most deployments set: never give up.
PATIENT_CONF = {"max_retries": -1, "retry_interval": 10}


def last_line(finished: Finished) -> str:
    """Return the final error."""
    return finished.err.splitlines()[-1]


def elsewhere(url: sa.URL) -> sa.URL:
    """Return a URL where nothing answers."""
    return url.set(port=1) if url.host else url.set(database="/nonexistent/nova.db")


def test_command_needs_no_terminal_and_no_home(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    env = {"HOME": None, "LC_ALL": "C", "LANG": None, "TERM": None}

    finished = cloud.alembic("upgrade", "head", cell="cell1", env=env)

    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith(f"cell1 ({cell.uuid}): 3 mapped in ")


def test_standard_streams_may_be_closed(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    command = f"{sys.executable} -m alembic -c {ROOT}/alembic.ini "
    command += f"-x config_file={cloud.config_file} -x cell=cell1"

    codes = [
        subprocess.run(
            ["sh", "-c", f"exec {command} {arguments} <&- >&- 2>&-"], check=False
        ).returncode
        for arguments in ("upgrade head", "current")
    ]

    assert codes == [0, 0]
    assert set(uuids) == cloud.mapped_uuids(cell)


def test_history_current_and_stamp_work(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")

    history = cloud.alembic("history")
    stamp = cloud.alembic("stamp", "0001", cell="cell1")
    current = cloud.alembic("current", cell="cell1")

    assert (history.code, stamp.code, current.code) == (0, 0, 0)
    assert "<base> -> 0001" in history.out
    assert cloud.versions() == {cell.uuid: "0001"}
    assert current.out.split()[0] == "0001"


def test_api_database_that_is_down_is_given_up_in_time(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")
    gone = elsewhere(cloud.url)
    cloud.configure(api_database={"connection": text(gone), **PATIENT_CONF})

    finished = cloud.alembic(
        "upgrade", "head", cell="cell1", x={"connect_timeout": "1"}
    )

    # A file that is not there will not come back by itself.
    assert finished.code == (78 if backend == "sqlite" else 75)
    assert last_line(finished).startswith("error: API database (")
    assert backend == "sqlite" or "not reached within 1 s: " in last_line(finished)


def test_cell_database_that_is_down_is_given_up_in_time(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    up = cloud.add_cell("cell1")
    down = cloud.add_cell("cell2", connection=text(elsewhere(up.url)))
    cloud.configure(database=PATIENT_CONF)

    finished = cloud.alembic(
        "upgrade", "head", cell="cell2", x={"connect_timeout": "1"}
    )

    assert finished.code == (78 if backend == "sqlite" else 75)
    assert last_line(finished).startswith(f"error: cell cell2 ({down.uuid}) (")
    assert cloud.our_tables() == set()


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
