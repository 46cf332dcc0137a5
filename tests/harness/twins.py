"""Make databases that two cells share, and addresses that lead to one database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.schema import cell_tables
from tests.harness.cloud import Cloud
from tests.harness.proxy import Proxy


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


def database(cloud: Cloud, name: str) -> Cell:
    """Return a database with nova's tables that no row of cell_mappings names."""
    backend = cloud.url.get_backend_name()
    url = cloud.create_database(name, backend, cell_tables("34"))
    return Cell(cloud, "", name, url, "34")
