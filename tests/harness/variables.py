"""Change global variables of MariaDB and MySQL for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from cellmap_migrations.testing.servers import Server


@contextmanager
def switched_on(server: Server, *names: str) -> Iterator[None]:
    """Switch global variables on, and off again after the block."""
    try:
        for name in names:
            switch(server, name, "ON")
        yield
    finally:
        for name in names:
            switch(server, name, "OFF")


def switch(server: Server, name: str, state: str) -> None:
    """Set a global variable to ON or OFF."""
    with server.admin().connect() as connection:
        connection.exec_driver_sql(f"SET GLOBAL {name} = {state}")
