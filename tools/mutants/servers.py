"""Share the databases' servers between the processes of all changes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

from cellmap_migrations.testing import cloud, servers
from tests import conftest


@contextmanager
def shared(backends: Sequence[str]) -> Iterator[None]:
    """Start the servers once; tests of all processes use these."""
    serving = servers.serving
    with ExitStack() as stack:
        started = {}
        for backend in backends:
            kind = servers.kind_of_server(backend)
            started[kind] = stack.enter_context(serving(kind))

        def again(kind: type[Any]) -> AbstractContextManager[Any]:
            return nullcontext(started[kind]) if kind in started else serving(kind)

        replaced: Callable[..., Any] = again
        servers.serving = replaced
        vars(conftest)["serving"] = replaced
        yield


def count_from(number: int) -> None:
    """Give the databases of this process names that no other process has."""
    cloud.NUMBERS = count(number)
