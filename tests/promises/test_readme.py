"""README.rst and docs/ say what is true: commands run, tables are complete."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.common import errors
from cellmap_migrations.config import settings
from cellmap_migrations.config.options import OPTIONS
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.testing.process import Running
from cellmap_migrations.testing.servers import Server
from tests.harness import readme
from tests.harness.cloud import ROOT, Cloud

# What the pages show of other programs, what installs this one, and its long tests.
OUTSIDE = (
    *("make ", "nova-manage ", "systemctl ", "journalctl ", "kubectl ", "openstack "),
    *("python3 -m venv ", "python3 -m pip ", "/opt/", "PATH=", ".venv/bin/python "),
    "echo cellmap cellmap/upgrade ",
    # See tests/promises/test_prometheus.py.
    *("ln -s /var/", "promtool "),
    # Needs a cell that was created twice: tests/unit/operations/test_merge_nova.py.
    "cellmap merge ",
    # They need a cloud of cells v1: see tests/promises/test_cells_v1.py.
    *("cellmap downgrade --cell top ", "cellmap reset --cell cell0"),
    "cellmap upgrade --cell cell0",
)


@pytest.fixture
def cloud(tmp_path: Path, server: Callable[[str], Server]) -> Iterator[Cloud]:
    """A cloud on SQLite whose one cell was never mapped."""
    made = Cloud(tmp_path, server, backend="sqlite")
    made.add_cell("cell1").add_instances(30)
    yield made
    made.close()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a developer of migrations works on."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "cellmap_migrations", folder / "cellmap_migrations")
    shutil.copy(ROOT / "alembic.ini", folder / "alembic.ini", follow_symlinks=False)
    return folder


def shell(cloud: Cloud, command: str, cwd: Path) -> int:
    """Run a command as a user whose nova.conf is the cloud's; return how it ended."""
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    shutil.copy(cloud.config_file, home / "nova.conf")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    running = Running(
        ["sh", "-c", command], env={"HOME": str(home), "PATH": path}, cwd=cwd
    )
    cloud.commands.append(running)
    return running.wait().code


def test_commands_run_in_the_order_of_the_pages(cloud: Cloud, checkout: Path) -> None:
    shown = [line for line in readme.commands() if not line.startswith(OUTSIDE)]
    # One that several pages show is as right on each of them.
    commands = [*dict.fromkeys(shown)]

    codes = [(command, shell(cloud, command, checkout)) for command in commands]

    assert codes == [(command, 0) for command in commands]
    assert set(cloud.cells[0].uuids()) == cloud.mapped_uuids(cloud.cells[0])


def test_example_of_a_revision_can_be_applied(cloud: Cloud, checkout: Path) -> None:
    page = readme.section(readme.CONTRIBUTING, "Add a revision")
    [create], [example] = readme.commands(page), readme.blocks("python", page)
    upgrade = "alembic -x cell=cell1 upgrade"
    gone = cloud.cells[0].add_instance(deleted=True)
    shell(cloud, f"{upgrade} head", checkout)
    wrong = cloud.instance_mappings.update().filter_by(instance_uuid=gone)
    cloud.execute(wrong.values(queued_for_delete=False))
    shell(cloud, create, checkout)
    [script] = checkout.glob("cellmap_migrations/versions/0004_*.py")

    empty = shell(cloud, f"{upgrade} head", checkout)
    shell(cloud, "alembic -x cell=cell1 downgrade 0003", checkout)
    script.write_text(example)
    code = shell(cloud, f"{upgrade} head", checkout)

    assert (empty, code) == (0, 0)
    assert cloud.versions() == {cloud.cells[0].uuid: "0004"}
    assert cloud.mappings()[gone].queued_for_delete


def test_progress_can_be_read_from_the_journal(cloud: Cloud) -> None:
    cloud.alembic("upgrade", "head", cell="cell1")

    with cloud.engine.connect() as connection:
        [row] = connection.exec_driver_sql(readme.sql("nova_api")[0]).mappings()

    assert row["rows_read"] == 30


def test_json_example_has_the_keys_of_a_run(cloud: Cloud) -> None:
    finished = cloud.alembic("upgrade", "head", cell="cell1", x={"output": "json"})

    assert list(json.loads(finished.out)) == list(json.loads(readme.blocks("json")[0]))


def test_options_and_their_defaults_are_the_registered_ones() -> None:
    registered = {option.dest: str(option.default) for option in OPTIONS}

    assert registered == {
        name: default.replace("none", "None")
        for name, default in readme.table("option").items()
    }


def test_keys_and_their_defaults_are_the_known_ones() -> None:
    known = {
        name: choices[0] if choices else "none"
        for name, choices in settings.RUN_OPTIONS.items()
    } | dict.fromkeys(settings.FILE_OPTIONS, "none")

    assert known == readme.table("key")


def test_outcomes_are_those_of_the_package() -> None:
    explained = [*readme.table("outcome"), "mended", "removed"]

    assert [outcome.value for outcome in Outcome] == explained[:-2]
    assert list(COUNTS) == explained


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {error.code for error in subclasses(errors.CellmapError)}

    assert {str(code) for code in codes | {0}} == set(readme.table("code"))
    assert set(errors.SEVERITY) == codes | {0}


def subclasses(kind: type[errors.CellmapError]) -> Iterator[type[errors.CellmapError]]:
    """Yield a class and all that derive from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from subclasses(derived)
