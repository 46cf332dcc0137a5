"""A command works in the environment of a maintainer script, a unit or a container."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from signal import SIGALRM, SIGTERM

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Running
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.contrib import finish
from tests.harness.silence import point_to, silent_port
from tests.harness.waiting import wait_for
from tests.harness.wheel import Installed

# Nobody has this number: in containers of nova, too, it has no line in /etc/passwd.
NAMELESS = ("setpriv", "--reuid=42424", "--regid=42424", "--clear-groups")

NAMESPACE = ("unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []))

# 99 says that the machine did not let us make the place that the test is about.
READ_ONLY = """
while read -r _ folder _; do
    mount -o remount,bind,ro "$folder" 2>/dev/null
done </proc/self/mounts
for folder in / /tmp /var/tmp /dev/shm "$PWD" "$HOME"; do
    test ! -w "$folder" || exit 99
done
exec "$@"
"""

WITHOUT_UTF8 = ("PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")


def shell(script: str) -> Sequence[str]:
    """Return the start of a command that *script* runs as ``"$@"``."""
    return ("sh", "-c", script, "sh")


PLACES: dict[str, Sequence[str]] = {
    "streams closed": shell('exec "$@" <&- >&-'),
    "stdout full": shell('exec "$@" >/dev/full'),
    "no environment and no terminal": ("setsid", "--wait", "env", "-i"),
    "C": ("env", "LC_ALL=C", *WITHOUT_UTF8),
    "user without a name": NAMELESS,
    "read-only file system": (*NAMESPACE, *shell(READ_ONLY)),
    "folder that is gone": shell('rmdir "$PWD" && exec "$@"'),
    "folder of somebody else": shell(f'chmod 700 . && exec {" ".join(NAMELESS)} "$@"'),
}

# The hardest one: everything at once.
TOGETHER = (
    *(*NAMESPACE, *shell(READ_ONLY), *NAMELESS, "setsid", "--wait"),
    *("env", "-i", "LC_ALL=C", *shell('exec "$@" <&- >&- 2>&-')),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, to be the current one."""
    made = Path(tempfile.mkdtemp(prefix="hook-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def hook(cloud: Cloud, installed: Installed) -> Sequence[str]:
    """Return the command of a hook; its nova.conf is one that all may read."""
    config = installed.share(cloud.config_file)
    return installed.cellmap(config, "upgrade", "--cell", "all")


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("place", PLACES)
def test_upgrade_works_in(
    make_cloud: MakeCloud, installed: Installed, folder: Path, place: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("Zürich")
    uuids = cell.add_instances(3)

    command = [*PLACES[place], *hook(cloud, installed)]
    finished = finish(Running(command, cwd=folder))

    assert (finished.code, finished.err) == (0, "")
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("mysql", "postgresql")
def test_upgrade_works_in_all_of_these_places_at_once(
    make_cloud: MakeCloud, installed: Installed, folder: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)

    command = [*TOGETHER, *hook(cloud, installed)]
    finished = finish(Running(command, cwd=folder))

    assert (finished.code, finished.err) == (0, "")
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_name_that_the_locale_cannot_spell_is_shown_in_its_letters(
    cloud: Cloud,
) -> None:
    cell = cloud.add_cell("Zürich")
    cell.add_instance()
    env = dict(word.split("=") for word in ("LC_ALL=C", *WITHOUT_UTF8))

    finished = cloud.alembic("upgrade", "head", cell=cell.uuid, env=env)

    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith(f"Z\\xfcrich ({cell.uuid}): 1 mapped in ")


@pytest.mark.only_on("mysql", "postgresql")
def test_port_that_says_nothing_is_given_up_in_time(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.configure(database={"max_retries": -1}, cellmap={"connect_timeout": 2})

    with silent_port() as listener:
        point_to(cloud, cell, listener.getsockname()[1])
        # The URL's own limits are those of an hour.
        finished = cloud.cellmap("check", "--cell", "cell1")

    assert finished.code == 75
    assert " not reached within 2 s: " in finished.err


@pytest.mark.only_on("mysql")
def test_closed_port_is_given_up_in_time_though_nova_never_does(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")
    gone = text(cloud.url.set(port=free_port()))
    patient = {"connection": gone, "max_retries": -1, "retry_interval": 60}
    cloud.configure(api_database=patient, cellmap={"connect_timeout": 1})

    finished = cloud.cellmap("check", "--cell", "cell1")

    assert (finished.code, finished.out) == (75, "")
    assert " not reached within 1 s: " in finished.err


def test_log_files_of_nova_are_not_opened(cloud: Cloud, tmp_path: Path) -> None:
    cloud.add_cell("cell1").add_instance()
    logs = tmp_path / "logs"
    logs.mkdir()
    cloud.configure(
        DEFAULT={
            "debug": True,
            "log_dir": logs,
            "log_file": logs / "nova-manage.log",
            "log_config_append": logs / "logging.conf",
            "use_journal": True,
            "use_syslog": True,
        }
    )

    finished = cloud.alembic("upgrade", "head", cell="all")

    assert (finished.code, finished.err) == (0, "")
    assert list(logs.iterdir()) == []


def child(pid: int) -> int:
    """Return the only child of a process."""
    [found] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


@pytest.mark.only_on("mysql")
def test_time_limit_of_timeout_inside_runuser_ends_it_with_75(
    make_cloud: MakeCloud, installed: Installed
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    limited = ("runuser", "-u", "nobody", "--", "timeout", "--preserve-status", "3600")

    with silent_port() as listener:
        point_to(cloud, cell, listener.getsockname()[1])
        running = Running([*limited, *hook(cloud, installed)])
        connection, _ = listener.accept()
        # The signal by which timeout's own clock tells it that time is over.
        os.kill(child(running.pid), SIGALRM)
        finished = finish(running)
        connection.close()

    assert finished.code == 75
    assert finished.err.endswith(
        "error: stopped: SIGTERM received; run again to go on from here\n"
    )


@pytest.mark.only_on("mysql")
def test_runuser_that_is_stopped_leaves_nothing_running(
    make_cloud: MakeCloud, installed: Installed
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(500)
    cloud.configure(cellmap={"batch_rows_min": 1, "batch_rows_max": 1})
    command = hook(cloud, installed)

    running = Running(["runuser", "-u", "nobody", "--", "timeout", "3600", *command])
    wait_for(lambda: bool(cloud.journal(cell)), "the first batch")
    worker = child(child(running.pid))
    running.signal(SIGTERM)
    finished = finish(running)

    assert not Path(f"/proc/{worker}").exists()
    assert "error: stopped: SIGTERM received" in finished.err
    assert 0 < len(cloud.mapped_uuids(cell)) < len(uuids)
    cloud.configure(cellmap={"batch_rows_min": None, "batch_rows_max": None})
    assert cloud.alembic("upgrade", "head", cell="all").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
