"""Choose a kind of database server; all have the same interface."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

from cellmap_migrations.testing import BACKENDS
from cellmap_migrations.testing.servers.base import (
    PASSWORD,
    SECRETS,
    NotInstalled,
    Server,
    plain_engine,
)

__all__ = [
    "PASSWORD",
    "SECRETS",
    "NotInstalled",
    "Server",
    "folder_of_data",
    "kind_of_server",
    "plain_engine",
    "serving",
]


def kind_of_server(backend: str) -> type[Server]:
    """Import the server of a backend; raise NotInstalled if a library is missing."""
    module, name, extras = BACKENDS[backend]
    try:
        found: type[Server] = getattr(import_module(f"{__name__}.{module}"), name)
    except ImportError as error:
        # psycopg without libpq explains itself in many lines.
        reason = str(error).splitlines()[0]
        install = f"pip install 'cellmap-migrations[{extras}]'"
        raise NotInstalled(f"no {backend} server: {reason}; {install}") from error
    return found


# A file system in memory, and the bytes that must be free there for the servers of
# several processes.
MEMORY, ROOM = Path("/dev/shm"), 8 << 30  # noqa: S108 - its folders have random names


def folder_of_data() -> Path | None:
    """Return a folder in memory for the data of servers, or None if it has no room.

    Servers refuse root, and only root may enter pytest's own folder.
    """
    has_room = MEMORY.is_dir() and disk_usage(MEMORY).free >= ROOM
    return MEMORY if has_room else None


@contextmanager
def serving(kind: type[Server]) -> Iterator[Server]:
    """Run a server until the block ends, then remove it with its data.

    Raises NotInstalled if the server's program is missing.
    """
    with (
        TemporaryDirectory(prefix="nova-", dir=folder_of_data()) as folder,
        closing(kind(Path(folder))) as server,
    ):
        server.start()
        yield server
