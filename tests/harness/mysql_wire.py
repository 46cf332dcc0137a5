"""Connect the tests' MySQL proxy to its clients and to the server."""

import socket
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CLIENT, COMMAND, ER, SERVER_STATUS

from cellmap_migrations.testing.servers.base import HOST, PASSWORD
from tests.harness import mysql_packets


class Wire:
    """Read and write whole packets, each with its header of four bytes."""

    def __init__(self, connected: socket.socket, file: Any = None) -> None:
        self.socket = connected
        self.file = file or connected.makefile("rb")

    def read(self) -> bytes:
        """Return the next packet; raise ConnectionError when there is none."""
        header = self.exactly(mysql_packets.HEADER)
        length = int.from_bytes(header[:3], "little")
        if length == mysql_packets.LARGEST:
            message = "the tests' proxy forwards no packet of 16 MB"
            raise mysql_packets.Refused(ER.NET_PACKET_TOO_LARGE, message)
        return header + self.exactly(length)

    def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        found: bytes = self.file.read(size)
        if len(found) < size:
            raise ConnectionResetError
        return found

    def write(self, payload: bytes, number: int = 0) -> None:
        """Send one packet with this sequence number."""
        self.socket.sendall(mysql_packets.packet(payload, number))

    def close(self) -> None:
        """Close the connection."""
        # A reader in another thread would keep it open.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.file.close()
        self.socket.close()


class ServerWire(Wire):
    """Hold a connection to MariaDB as nova, and the commands of its *state*."""

    def __init__(self, port: int) -> None:
        self.connection = login(port)
        self.connection._sock.settimeout(None)
        super().__init__(self.connection._sock, self.connection._rfile)
        self.state: dict[str, bytes] = {}

    def command(self, payload: bytes) -> int:
        """Run a command that returns no rows; return the status after it."""
        self.write(payload)
        answer = self.read()
        if answer[mysql_packets.HEADER] != mysql_packets.OK:
            raise RuntimeError(f"{payload!r}: {answer!r}")
        return mysql_packets.ok_status(answer)

    def adopt(self, state: dict[str, bytes]) -> None:
        """Set the session state of a client."""
        for name, payload in state.items():
            if self.state.get(name) != payload:
                self.command(payload)
                self.state[name] = payload

    def in_transaction(self) -> bool:
        """Return True if a transaction is open, which an error packet does not tell."""
        ping = bytes([COMMAND.COM_PING])
        return bool(self.command(ping) & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


def login(port: int) -> Any:
    """Return a connection of PyMySQL, whose socket the proxy then uses itself."""
    return pymysql.connect(
        host=HOST,
        port=port,
        user="nova",
        password=PASSWORD,
        # As SQLAlchemy asks for it: an UPDATE counts the rows that it found.
        client_flag=CLIENT.FOUND_ROWS,
        ssl_disabled=True,
        autocommit=None,
    )
