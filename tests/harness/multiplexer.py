"""Share connections to MariaDB among clients, one transaction each, like ProxySQL."""

import itertools
import re
import socket
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread

from pymysql.constants import COMMAND, ER, SERVER_STATUS

from cellmap_migrations.testing.servers.base import HOST
from tests.harness import mysql_packets
from tests.harness.mysql_wire import ServerWire, Wire

# No session of the server has such an id.
NUMBERS = itertools.count(1_000_000_000)

PATIENCE, NONE_FREE = 60.0, 9001

FLUSH = 1 << 16

# What the proxy sets again for each client, and what it is for one that never set it.
# Anything else that a client sets is there for the next client.
TRACKED = {
    "names": re.compile(rb"\s*SET\s+NAMES\b", re.IGNORECASE),
    "autocommit": re.compile(rb"\s*SET\s+AUTOCOMMIT\b", re.IGNORECASE),
    "sql_mode": re.compile(rb"\s*SET\s+(SESSION\s+)?SQL_MODE\b", re.IGNORECASE),
}

QUERY = bytes([COMMAND.COM_QUERY])

INITIAL = {
    "names": QUERY + b"SET NAMES utf8mb4",
    "autocommit": QUERY + b"SET AUTOCOMMIT = 1",
    "sql_mode": QUERY + b"SET SESSION sql_mode = DEFAULT",
}


class Multiplexer:
    """Serve clients on *port* with up to *size* connections to the server."""

    def __init__(self, server_port: int, size: int) -> None:
        self.server_port, self.size = server_port, size
        # None is a connection that is yet to be made. First in, first out: every
        # connection has its turn.
        self.free: Queue[ServerWire | None] = Queue()
        first = ServerWire(server_port)
        self.version: str = first.connection.get_server_info()
        for connection in (first, *[None] * (size - 1)):
            self.free.put(connection)
        self.clients: list[Client] = []
        self.listener = socket.create_server((HOST, 0))
        self.port: int = self.listener.getsockname()[1]
        Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Accept clients until the proxy is closed."""
        with suppress(OSError):
            while True:
                connected, _ = self.listener.accept()
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client = self.client(connected)
                self.clients.append(client)
                Thread(target=client.serve, daemon=True).start()

    def client(self, connected: socket.socket) -> "Client":
        """Return the object that serves a client."""
        return Client(self, connected)

    def borrow(self) -> ServerWire:
        """Return a connection that no client has; raise Refused if there is none."""
        try:
            found = self.free.get(timeout=PATIENCE)
        except Empty:
            message = f"none of {self.size} connections was free in {PATIENCE:g} s"
            raise mysql_packets.Refused(NONE_FREE, message) from None
        return found or ServerWire(self.server_port)

    def close(self) -> None:
        """Close every connection."""
        # close() alone would leave accept() waiting.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.clients:
            client.wire.close()
        for _ in range(self.size):
            if connection := self.free.get(timeout=PATIENCE):
                connection.close()


class Client:
    """Hold a client, its session state, and the connection that it has now."""

    def __init__(self, proxy: Multiplexer, connected: socket.socket) -> None:
        self.proxy, self.wire = proxy, Wire(connected)
        self.state = dict(INITIAL)
        self.server: ServerWire | None = None

    def serve(self) -> None:
        """Answer commands until the client leaves."""
        try:
            self.greet()
            while self.answer(self.wire.read()):
                pass
        except mysql_packets.Refused as refused:
            with suppress(OSError):
                self.wire.write(mysql_packets.error(refused.code, str(refused)), 1)
        except (OSError, ValueError):
            # Closed by the client, by the server, or by close().
            pass
        finally:
            self.wire.close()
            if self.server:
                # In the middle of a transaction, or of an answer.
                self.server.close()
                self.proxy.free.put(None)

    def greet(self) -> None:
        """Log the client in with any password."""
        self.wire.write(mysql_packets.greeting(self.proxy.version, next(NUMBERS)))
        self.use(mysql_packets.database_of(self.wire.read()))
        self.wire.write(mysql_packets.ok(SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT), 2)

    def use(self, database: bytes) -> None:
        """Let commands be about *database*, if the client has named one."""
        if database:
            self.state["database"] = bytes([COMMAND.COM_INIT_DB]) + database

    def answer(self, request: bytes) -> bool:
        """Forward a command and its answer; return True if another one may follow."""
        command = request[mysql_packets.HEADER]
        if command == COMMAND.COM_QUIT:
            return False
        if command not in (COMMAND.COM_QUERY, COMMAND.COM_PING, COMMAND.COM_INIT_DB):
            message = f"the tests' proxy does not know command {command}"
            raise mysql_packets.Refused(ER.UNKNOWN_COM_ERROR, message)
        if self.server is None:
            self.server = self.proxy.borrow()
            self.server.adopt(self.state)
        server = self.server
        server.socket.sendall(request)
        status = self.forward(server)
        if status is None:
            held = server.in_transaction()
        else:
            self.remember(server, request[mysql_packets.HEADER :])
            held = bool(status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)
        if not held:
            self.server = None
            self.proxy.free.put(server)
        return True

    def forward(self, server: ServerWire) -> int | None:
        """Forward the whole answer; return the status in it, None for an error."""
        answers = bytearray()

        def copy() -> bytes:
            found = server.read()
            answers.extend(found)
            if len(answers) > FLUSH:
                self.wire.socket.sendall(answers)
                answers.clear()
            return found

        status = mysql_packets.copy_results(copy)
        self.wire.socket.sendall(answers)
        return status

    def remember(self, server: ServerWire, payload: bytes) -> None:
        """Store the tracked state that a successful command has set."""
        for name, pattern in TRACKED.items():
            if payload[:1] == QUERY and pattern.match(payload[1:]):
                self.state[name] = server.state[name] = payload
        if payload[0] == COMMAND.COM_INIT_DB:
            self.state["database"] = server.state["database"] = payload
