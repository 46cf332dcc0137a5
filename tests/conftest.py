"""Servers for the whole run, and clouds for single tests."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.nova.cloud import Cloud
from tests.nova.servers import BACKENDS, Server


class MakeCloud(Protocol):
    """Make a cloud that is gone after the test."""

    def __call__(
        self, *, release: str = "34", cell_backend: str | None = None
    ) -> Cloud:
        """Put the cells on *cell_backend* if it is not to be the API database's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a quick run choose its databases."""
    parser.addoption(
        "--backend",
        action="append",
        choices=list(BACKENDS),
        help="database to test on; may be repeated (default: all three)",
    )


def chosen(config: pytest.Config) -> list[str]:
    """Return the databases of this run."""
    asked = config.getoption("--backend")
    return [name for name in BACKENDS if not asked or name in asked]


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is tested on; a server that is not installed ends the run here."""
    try:
        versions = [BACKENDS[name].version() for name in chosen(config)]
    except FileNotFoundError as error:
        raise pytest.UsageError(str(error)) from error
    return f"databases: {', '.join(versions)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a backend, or for a cloud, on all of them."""
    if "backend" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only_on")
        names = only.args if only else list(BACKENDS)
        metafunc.parametrize("backend", names, indirect=True)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Take out the tests on databases that are not of this run."""
    asked = chosen(config)
    out = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.callspec.params.get("backend", asked[0]) not in asked
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The database that this test runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Server]:
    """Run MariaDB as long as the tests run."""
    yield from serve("mysql")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """Run PostgreSQL as long as the tests run."""
    yield from serve("postgresql")


@pytest.fixture(scope="session")
def sqlite_server() -> Iterator[Server]:
    """Keep a folder of SQLite databases as long as the tests run."""
    yield from serve("sqlite")


def serve(name: str) -> Iterator[Server]:
    """Start a server and, at the end, remove it with its data."""
    # Not pytest's own folder: only root may enter that, and servers refuse root.
    folder = Path(tempfile.mkdtemp(prefix="nova-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        server = BACKENDS[name](folder)
        stack.callback(server.close)
        server.start()
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Callable[[str], Server]:
    """Give the server of a backend, started when it is first asked for."""

    def start(name: str) -> Server:
        found: Any = request.getfixturevalue(f"{name}_server")
        assert isinstance(found, Server)
        return found

    return start


@pytest.fixture
def clouds() -> Iterator[list[Cloud]]:
    """Close the clouds that a test appends here."""
    made: list[Cloud] = []
    yield made
    for cloud in made:
        cloud.close()


@pytest.fixture
def make_cloud(
    tmp_path: Path,
    server: Callable[[str], Server],
    backend: str,
    clouds: list[Cloud],
) -> MakeCloud:
    """Make clouds on the backend; they are gone after the test."""

    def make(*, release: str = "34", cell_backend: str | None = None) -> Cloud:
        cloud = Cloud(
            tmp_path,
            server,
            backend=backend,
            cell_backend=cell_backend,
            release=release,
        )
        clouds.append(cloud)
        return cloud

    return make


@pytest.fixture
def cloud(
    tmp_path: Path, server: Callable[[str], Server], clouds: list[Cloud]
) -> Cloud:
    """A cloud for a test to which the kind of database does not matter."""
    clouds.append(Cloud(tmp_path, server, backend="sqlite"))
    return clouds[-1]
