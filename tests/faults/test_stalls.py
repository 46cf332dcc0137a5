"""A run ends in time although the network is silent."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.databases import postgresql_limits
from cellmap_migrations.databases.mysql import MySQL
from cellmap_migrations.databases.postgresql import PostgreSQL
from tests.conftest import MakeCloud
from tests.faults.struck import Struck
from tests.faults.tally import Tally
from tests.harness.inside import alembic_inside
from tests.harness.proxy import Break, Proxy

# Seconds until a run that is in a hurry takes a silence for a fault.
HURRY = 3

BATCH = 500

# An INSERT of so many rows is more than kernels take that nobody reads from.
LARGE = 2_000

# Bytes that the sender's kernel takes; else it takes more from a busier connection.
SENT = 1 << 16

# Not its first word, behind which MySQL takes hints.
INSERT = b"INTO instance_mappings"

# What is said of a connection to which nothing could be sent.
NOT_SENT = {"mysql": "gone away (TimeoutError", "postgresql": ""}


class Nth:
    """Accepts one of the requests with some words in it, by its number."""

    def __init__(self, words: bytes, number: int) -> None:
        self.words, self.number, self.seen = words, number, 0

    def __call__(self, data: bytes) -> bool:
        """Take note of what a client sends."""
        found = self.words in data
        self.seen += found
        return found and self.seen == self.number


@pytest.fixture
def hurry(
    monkeypatch: pytest.MonkeyPatch, backend: str, *, thorough: bool
) -> dict[str, str]:
    """Return a URL's arguments, with which a run waits for answers only for HURRY."""
    # The proxy has to read what is sent.
    plain = {"ssl_disabled": "true"} if backend == "mysql" else {}
    if thorough:
        return plain
    monkeypatch.setattr(postgresql_limits, "SECONDS", HURRY)
    names = ("read_timeout", "write_timeout") if backend == "mysql" else ()
    return plain | dict.fromkeys(names, str(HURRY))


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """Collect the messages of the drivers, also when a run then retries."""
    said: list[str] = []

    def note(context: Any) -> None:
        said.append(str(context.original_exception))

    sa.event.listen(sa.Engine, "handle_error", note)
    yield said
    sa.event.remove(sa.Engine, "handle_error", note)


@pytest.fixture
def small_buffers() -> Iterator[None]:
    """Let the kernel take little of what a client sends, and never more than that."""

    def shrink(connection: Any, _: Any) -> None:
        sender = getattr(connection, "_sock", connection)
        with socket.socket(fileno=os.dup(sender.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT)

    sa.event.listen(sa.pool.Pool, "connect", shrink)
    yield
    sa.event.remove(sa.pool.Pool, "connect", shrink)


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.fault("the network took half of an INSERT, and stood still from then on")
def test_half_of_an_insert_arrives(
    make_cloud: MakeCloud, tallied: Tally, hurry: dict[str, str]
) -> None:
    struck = Struck(make_cloud(), 10 * BATCH, batch=BATCH)
    third = Nth(INSERT, 3)

    with closing(Proxy(struck.port, third, Break.HALF_REQUEST)) as proxy:
        struck.lead_to(proxy.port, **hurry)
        ended = alembic_inside(struck.cloud, "upgrade", "head", cell="cell1")

    tallied.add(ended.code, times=proxy.cuts, rows=len(struck.servers))
    assert (ended.code, proxy.cuts) == (0, 1), ended.err
    struck.lead_to(struck.port)
    struck.assert_right()


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.usefixtures("small_buffers")
@pytest.mark.fault("the network took half of an INSERT, and stood still from then on")
def test_rest_of_an_insert_cannot_be_sent(
    make_cloud: MakeCloud,
    backend: str,
    tallied: Tally,
    hurry: dict[str, str],
    errors: list[str],
) -> None:
    struck = Struck(make_cloud(), LARGE, batch=LARGE)

    with closing(Proxy(struck.port, Nth(INSERT, 1), Break.UNREAD)) as proxy:
        struck.lead_to(proxy.port, **hurry)
        ended = alembic_inside(struck.cloud, "upgrade", "head", cell="cell1")

    tallied.add(ended.code, times=proxy.cuts, rows=len(struck.servers))
    assert (ended.code, proxy.cuts) == (0, 1), ended.err
    assert [error for error in errors if NOT_SENT[backend] in error], errors
    struck.lead_to(struck.port)
    struck.assert_right()


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.fault("the network brought half of a read of a cell, and no more")
def test_half_of_a_read_arrives(
    make_cloud: MakeCloud, tallied: Tally, hurry: dict[str, str]
) -> None:
    struck = Struck(make_cloud(), 10 * BATCH, batch=BATCH)
    third = Nth(b"FROM instances", 3)

    with closing(Proxy(struck.port, third, Break.HALF_ANSWER)) as proxy:
        url = struck.cell.url.set(port=proxy.port)
        struck.read_from(url.update_query_dict(hurry))
        ended = alembic_inside(struck.cloud, "upgrade", "head", cell="cell1")

    tallied.add(ended.code, times=proxy.cuts, rows=len(struck.servers))
    assert (ended.code, proxy.cuts) == (0, 1), ended.err
    struck.read_from(struck.cell.url)
    struck.assert_right()


def test_mariadb_is_waited_for_no_longer_than_half_a_minute() -> None:
    bare, own = (
        MySQL().bounded(sa.make_url(f"mysql+pymysql://h/n{arguments}")).query
        for arguments in ("", "?read_timeout=7")
    )

    limits = {"connect_timeout": "5", "read_timeout": "30", "write_timeout": "30"}
    assert bare == limits
    assert own == {**limits, "read_timeout": "7"}


def test_kernel_notices_within_half_a_minute_that_postgresql_is_gone() -> None:
    bare, own = (
        PostgreSQL().bounded(sa.make_url(f"postgresql+psycopg://h/n{arguments}")).query
        for arguments in ("", "?tcp_user_timeout=7")
    )

    idle, interval, count = (
        int(str(bare[f"keepalives_{name}"])) for name in ("idle", "interval", "count")
    )
    assert idle + interval * count == 30
    assert (bare["connect_timeout"], bare["tcp_user_timeout"]) == ("5", "30000")
    assert own == {**bare, "tcp_user_timeout": "7"}
