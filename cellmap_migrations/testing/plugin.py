"""Define pytest fixtures of a nova cloud with cells to map.

pytest loads this module in every run if the package is installed. The other modules of
this room are imported only when a fixture needs them.
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
    """Build a cloud that is dropped after the test."""

    def __call__(
        self,
        kind: type[C] = ...,
        *,
        release: str = "34",
        backend: str | None = None,
        cell_backend: str | None = None,
    ) -> C:
        """Build a Cloud with the tables of nova's *release*.

        *kind* is Cloud or a class that derives from it. *backend* is the kind of
        database of the API database, cellmap_backend by default. *cell_backend* is the
        kind of database of the cells, *backend* by default.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the database."""
    parser.getgroup("cellmap", "nova clouds to map (cellmap-migrations)").addoption(
        "--cellmap-backend",
        choices=tuple(BACKENDS),
        default="sqlite",
        help="database server of cellmap_cloud (default: sqlite)",
    )


@pytest.fixture
def cellmap_backend(request: pytest.FixtureRequest) -> str:
    """Return the database of this test: sqlite, mysql (MariaDB) or postgresql.

    It is the value of ``--cellmap-backend``. Override it with a parametrized fixture to
    run every test on several databases.
    """
    return str(request.config.getoption("--cellmap-backend"))


@pytest.fixture(scope="session")
def cellmap_server() -> Iterator[Callable[[str], Server]]:
    """Yield a function that returns the running server of a backend.

    A server is started at its first use, with data in a temporary folder and a free
    port of 127.0.0.1, and stopped after the last test. A test may call its stop(),
    start(), freeze() and thaw().
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
    """Build clouds of any release: ``make_cellmap_cloud(release="stein")``."""
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
    """Return a cloud with nova 34's tables; ``add_cell("cell1")`` adds a cell.

    Its ``config_file`` is a nova.conf with the URLs of its databases.
    """
    return make_cellmap_cloud()


@pytest.fixture
def run_cellmap(cellmap_cloud: Cloud) -> Callable[..., Finished]:
    """Run ``cellmap`` on cellmap_cloud: ``run_cellmap("check", "--cell", U)``.

    Returns ``code``, ``out`` and ``err`` of the ended command.
    """
    return cellmap_cloud.cellmap


@pytest.fixture
def assert_cell_mapped() -> Callable[[Cell], None]:
    """Fail unless every instance of a cell has the correct mapping.

    The failure shows the rows that differ.
    """
    found: Callable[[Cell], None] = import_module(
        "cellmap_migrations.testing.mapped"
    ).assert_cell_mapped
    return found
