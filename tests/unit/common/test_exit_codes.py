"""A process ends with the documented exit code, and its stderr names the error."""

import subprocess
import sys

import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from tests.conftest import MakeCloud
from tests.harness.cloud import ROOT, Cloud
from tests.harness.inside import last_line

# What most deployments set: never give up.
PATIENT_CONF = {"max_retries": -1, "retry_interval": 10}


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


def test_check_heads_tells_a_cell_that_is_behind(cloud: Cloud) -> None:
    cloud.add_cell("cell1")

    behind = cloud.alembic("current", "--check-heads", cell="cell1")
    cloud.alembic("upgrade", "head", cell="cell1")
    at_head = cloud.alembic("current", "--check-heads", cell="cell1")

    assert (behind.code, at_head.code) == (3, 0)
    assert "run upgrade head" in last_line(behind)
