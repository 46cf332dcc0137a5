"""Let a cell's address lead to a port that never answers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.base import HOST
from tests.harness.cloud import HOUR, Cloud
from tests.harness.waiting import SECONDS

# The arguments of a URL that are timeouts of its driver.
PATIENT = {
    "mysql": ("connect_timeout", "read_timeout"),
    "postgresql": ("connect_timeout",),
}


@contextmanager
def silent_port() -> Iterator[socket.socket]:
    """Listen on a port, and never answer."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(SECONDS)
        yield listener


def point_to(cloud: Cloud, cell: Cell, port: int | None) -> None:
    """Let the URL of the cell name another port, with long timeouts."""
    names = PATIENT[cell.url.get_backend_name()]
    url = cell.url.set(port=port).update_query_dict(dict.fromkeys(names, HOUR))
    cloud.lead(cell, text(url))
