"""Servers for the whole run, and clouds for single tests."""

import gc
import os
import platform
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from cellmap_migrations.testing import BACKENDS, plugin
from cellmap_migrations.testing.servers import (
    NotInstalled,
    Server,
    serving,
)
from tests.harness import certificates, compiled_once, second_look
from tests.harness.cloud import Cloud
from tests.harness.controller import Controller
from tests.harness.newer import NEWER, backend_of, kind_named
from tests.harness.recorded import recorded
from tests.harness.wheel import Installed


class MakeCloud(Protocol):
    """Make a cloud that is gone after the test."""

    def __call__(
        self, *, release: str = "34", cell_backend: str | None = None
    ) -> Cloud:
        """Put the cells on *cell_backend* if it is not to be the API database's."""


# The modules that take longest, and of those the longest first.
LONG = (
    "interleavings/test_crashes.py",
    "interleavings/test_actions.py",
    "upgrade_job/test_nova_34.py",
    "upgrade_job/test_nova_19.py",
    "faults/test_poolers.py",
    "faults/test_group.py",
    "faults/test_primary.py",
    "faults/test_galera.py",
    "unit/comparing/test_addresses.py",
    "promises/test_guards.py",
    "promises/test_pairs.py",
    "unit/comparing/test_converted.py",
    "unit/operations/test_check.py",
    "unit/copying/test_table_refusals.py",
    "unit/operations/test_repair.py",
    "faults/test_kills.py",
    "promises/test_readme.py",
)

# The name of a property of tests in tests/interleavings.
COVERAGE = "coverage"

MakeController: TypeAlias = Callable[[Cloud], Controller]


def pytest_configure() -> None:
    """Spare the tests what takes time and shows nothing."""
    second_look.follow_after(0.0)
    certificates.load_once()
    compiled_once.share()


def pytest_collection_finish() -> None:
    """Let the garbage collector visit only what the tests make, and less often.

    A fifth of the time of most tests went into objects as old as the process.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a quick run choose its databases, and a long one cause more faults."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="cause faults as often as docs/reliability.rst says",
    )
    parser.addoption(
        "--seed",
        type=int,
        help="choose at random what a test chose that failed and showed this number",
    )
    parser.addoption(
        "--backend",
        action="append",
        choices=[*BACKENDS, *NEWER],
        help="database to test on; may be repeated (default: the first three). A "
        "newer server takes the place of its kind: one of each kind in a run",
    )


def chosen(config: pytest.Config) -> dict[str, str]:
    """Return the servers of this run by their backends."""
    asked = config.getoption("--backend") or list(BACKENDS)
    found = {backend_of(name): name for name in asked}
    if len(found) < len(set(asked)):
        raise pytest.UsageError(f"--backend {', '.join(asked)}: two of one kind")
    return {backend: found[backend] for backend in BACKENDS if backend in found}


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is tested on; a server that is not installed ends the run here."""
    try:
        versions = [kind_named(name).version() for name in chosen(config).values()]
    except NotInstalled as error:
        raise pytest.UsageError(str(error)) from error
    return f"databases: {', '.join(versions)}"


def pytest_terminal_summary(
    terminalreporter: "pytest.TerminalReporter", config: pytest.Config
) -> None:
    """Print the coverage of the interleavings, and record the versions of this run.

    The versions are appended to the file that TESTED names, if it names one.
    """
    for report, coverage in recorded(terminalreporter, COVERAGE):
        terminalreporter.write_line(f"{report.nodeid}: {coverage}")
    path = os.environ.get("TESTED")
    # A worker of xdist ends with a summary of its own.
    if path and not hasattr(config, "workerinput"):
        count = len(terminalreporter.stats.get("passed", []))
        names = ("alembic", "SQLAlchemy")
        versions = [f"{name} {metadata.version(name)}" for name in names]
        versions += [kind_named(name).version() for name in chosen(config).values()]
        with Path(path).open("a") as file:
            file.write(
                f"{count:5} tests passed on Python {platform.python_version()}, "
                f"{', '.join(versions)}\n"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a backend, or for a cloud, on all of them.

    Except a test that has a backend in each of its cases.
    """
    marks = metafunc.definition.iter_markers("parametrize")
    chosen_by_test = any("backend" in mark.args[0] for mark in marks)
    if "backend" in metafunc.fixturenames and not chosen_by_test:
        only = metafunc.definition.get_closest_marker("only_on")
        names = list(only.args) if only else list(BACKENDS)
        if only and metafunc.config.getoption("--thorough"):
            names += only.kwargs.get("thorough", ())
        served = chosen(metafunc.config)
        # A test of one product is taken out where the run has the other one.
        product = "mysql9" if served.get("mysql") == "mysql9" else "mariadb"
        names = ["mysql" if name == product else name for name in names]
        shown = [served.get(name, name) for name in names]
        metafunc.parametrize("backend", names, indirect=True, ids=shown)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Take out the tests on databases that are not of this run."""
    asked = chosen(config)
    first = next(iter(asked))
    out = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.callspec.params.get("backend", first) not in asked
    ]
    config.hook.pytest_deselected(items=out)
    taken_out = set(out)
    items[:] = sorted((item for item in items if item not in taken_out), key=turn)


def turn(item: pytest.Item) -> int:
    """Return a number by which tests are sorted: those of long modules come first.

    Then no worker is left alone with one in the end.
    """
    name = item.path.relative_to(Path(__file__).parent).as_posix()
    return LONG.index(name) if name in LONG else len(LONG)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The database that this test runs on."""
    return str(request.param)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of random choices; a test shows it when it fails."""
    asked = request.config.getoption("--seed")
    return random.randrange(10_000) if asked is None else int(asked)


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Return True if --thorough is given, as for the table of docs/reliability.rst."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    """Build the wheel and install it, as long as the tests run."""
    # Not pytest's own folder: only root may enter that.
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    folder.chmod(0o755)
    yield Installed(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cellmap_server(
    cellmap_server: Callable[[str], Server], pytestconfig: pytest.Config
) -> Iterator[Callable[[str], Server]]:
    """Give a newer server where the run asks for one."""
    asked = chosen(pytestconfig)
    with ExitStack() as stack:

        @cache
        def server(backend: str) -> Server:
            name = asked.get(backend, backend)
            if name not in NEWER:
                return cellmap_server(backend)
            return stack.enter_context(serving(kind_named(name)))

        yield server


@pytest.fixture
def server(cellmap_server: Callable[[str], Server]) -> Callable[[str], Server]:
    """Give the server of a backend, started when it is first asked for."""
    return cellmap_server


@pytest.fixture
def make_cloud(make_cellmap_cloud: plugin.MakeCloud, backend: str) -> MakeCloud:
    """Make clouds on the backend; they are gone after the test."""
    return partial(make_cellmap_cloud, Cloud, backend=backend)


@pytest.fixture
def make_controller(installed: Installed) -> Iterator[MakeController]:
    """Make hosts that look like controllers of a cloud; they are gone afterwards."""
    with ExitStack() as stack:

        def make(cloud: Cloud) -> Controller:
            # Not pytest's own folder: only root may enter that.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="host-"))
            controller = Controller(
                Path(folder), cloud.config_file, installed.bin / "cellmap"
            )
            stack.callback(controller.close)
            return controller

        yield make


@pytest.fixture
def cloud(make_cellmap_cloud: plugin.MakeCloud) -> Cloud:
    """A cloud for a test to which the kind of database does not matter."""
    return make_cellmap_cloud(Cloud, backend="sqlite")
