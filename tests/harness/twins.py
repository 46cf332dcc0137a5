"""Make databases that two cells share, and addresses that lead to one database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.schema import cell_tables
from cellmap_migrations.testing.servers.galera import Galera
from tests.harness.cloud import Cloud
from tests.harness.proxy import Proxy
from tests.harness.replicas import folders_for, serving


@contextmanager
def leading_to(cell: Cell) -> Iterator[str]:
    """Yield another address of a cell's database: a forwarded port, or a link."""
    if cell.url.port is None:
        link = f"{cell.url.database}.link"
        os.link(str(cell.url.database), link)
        yield text(cell.url.set(database=link))
        return
    proxy = Proxy(cell.url.port, lambda _: False)
    try:
        yield text(cell.url.set(port=proxy.port))
    finally:
        proxy.close()


@contextmanager
def galera_twins(folder: Path) -> Iterator[tuple[Cloud, Cell, Cell]]:
    """Yield a cloud and two cells with one database, each on a node of its own."""
    with folders_for(2) as [first, second]:
        one = Galera(first)
        two = Galera(second, joins=one)
        with serving(one, two):
            cloud = Cloud(folder, lambda _: one, backend="mysql")
            cell = cloud.add_cell("cell1")
            url = text(cell.url.set(port=two.port))
            twin = cloud.add_cell("twin", database=cell, connection=url)
            try:
                yield cloud, cell, twin
            finally:
                cloud.close()


def database(cloud: Cloud, name: str) -> Cell:
    """Return a database with nova's tables that no row of cell_mappings names."""
    backend = cloud.url.get_backend_name()
    url = cloud.create_database(name, backend, cell_tables("34"))
    return Cell(cloud, "", name, url, "34")
