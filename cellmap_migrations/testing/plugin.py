"""pytest fixtures for those who test an upgrade: a nova cloud with cells to map.

pytest loads this module in every run of an environment that has the package, so the
rest of the kit is imported when a fixture needs it, and not before.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from cellmap_migrations.testing import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cellmap_migrations.testing.cell import Cell
    from cellmap_migrations.testing.cloud import Cloud
    from cellmap_migrations.testing.process import Finished
    from cellmap_migrations.testing.servers import Server


C = TypeVar("C", bound="Cloud")


class MakeCloud(Protocol):
    """Make a cloud that is gone after the test."""

    def __call__(
        self,
        kind: type[C] = ...,
        *,
        release: str = "34",
        backend: str | None = None,
        cell_backend: str | None = None,
    ) -> C:
        """Build a Cloud with the tables of nova's *release*.

        *kind* is a class of your own that derives from Cloud. *backend* is where the
        API database is, cellmap_backend unless given; *cell_backend* is where the
        cells are, unless that is the same.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose its database server."""
    parser.getgroup("cellmap", "nova clouds to map (cellmap-migrations)").addoption(
        "--cellmap-backend",
        choices=tuple(BACKENDS),
        default="sqlite",
        help="database server of cellmap_cloud (default: sqlite)",
    )


@pytest.fixture
def cellmap_backend(request: pytest.FixtureRequest) -> str:
    """The database server of this test: sqlite, mysql (MariaDB) or postgresql.

    What ``--cellmap-backend`` says. Override it with a fixture that has params to run
    every test on several.
    """
    return str(request.config.getoption("--cellmap-backend"))


@pytest.fixture(scope="session")
def cellmap_server() -> Iterator[Callable[[str], Server]]:
    """Give the server of a backend: started at first use, gone after the last test.

    The data is in a temporary folder, the port a free one of 127.0.0.1. A test may
    stop(), start(), freeze() and thaw() it.
    """
    servers = import_module("cellmap_migrations.testing.servers")
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(backend: str) -> Server:
            if backend not in started:
                try:
                    kind = servers.kind_of_server(backend)
                    started[backend] = stack.enter_context(servers.serving(kind))
                except servers.NotInstalled as error:
                    pytest.fail(str(error), pytrace=False)
            return started[backend]

        yield server


@pytest.fixture
def make_cellmap_cloud(
    tmp_path: Path,
    cellmap_backend: str,
    cellmap_server: Callable[[str], Server],
) -> Iterator[MakeCloud]:
    """Make clouds of any release: ``make_cellmap_cloud(release="stein")``."""
    cloud = import_module("cellmap_migrations.testing.cloud")
    with ExitStack() as stack:

        def make(
            kind: type[Any] = cloud.Cloud,
            *,
            release: str = "34",
            backend: str | None = None,
            cell_backend: str | None = None,
        ) -> Any:
            made = kind(
                tmp_path,
                cellmap_server,
                backend=backend or cellmap_backend,
                cell_backend=cell_backend,
                release=release,
            )
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def cellmap_cloud(make_cellmap_cloud: MakeCloud) -> Cloud:
    """A cloud with nova 34's tables and no cell yet; ``add_cell("cell1")`` adds one.

    Its ``config_file`` is the nova.conf that leads to its databases.
    """
    return make_cellmap_cloud()


@pytest.fixture
def run_cellmap(cellmap_cloud: Cloud) -> Callable[..., Finished]:
    """Run the console script on cellmap_cloud: ``run_cellmap("check", "--cell", U)``.

    Returns when it has ended, with its ``code``, ``out`` and ``err``.
    """
    return cellmap_cloud.cellmap


@pytest.fixture
def assert_cell_mapped() -> Callable[[Cell], None]:
    """Fail unless every instance of a cell has the mapping that it should have.

    The failure shows the rows that differ.
    """
    found: Callable[[Cell], None] = import_module(
        "cellmap_migrations.testing.mapped"
    ).assert_cell_mapped
    return found
