"""Run a server whose accounts log in with caching_sha2_password, MySQL's default."""

import socket
from itertools import cycle

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pymysql.constants import ER, SERVER_STATUS

from cellmap_migrations.testing.servers.base import PASSWORD
from tests.harness import mysql_packets
from tests.harness.multiplexer import NUMBERS, Client, Multiplexer

PLUGIN = b"caching_sha2_password"

MORE = b"\x01"

FULL = MORE + b"\x04"

KEY_WANTED = b"\x02"

OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)


class CachingSha2(Multiplexer):
    """Run a proxy to MariaDB without TLS, whose cache never has a password.

    *plugin* may be another one, for which the client then has to have a way to log in.
    """

    def __init__(self, server_port: int, size: int, plugin: bytes = PLUGIN) -> None:
        self.plugin = plugin
        self.key = rsa.generate_private_key(65537, 2048)
        self.passwords: list[bytes] = []
        super().__init__(server_port, size)

    def client(self, connected: socket.socket) -> Client:
        """Return the object that serves a client."""
        return Sha2Client(self, connected)


class Sha2Client(Client):
    """Serve a client that must send its password, encrypted with the server's key."""

    proxy: CachingSha2

    def greet(self) -> None:
        """Let the client in if its password is right."""
        self.wire.write(
            mysql_packets.greeting(self.proxy.version, next(NUMBERS), PLUGIN)
        )
        database = mysql_packets.database_of(self.wire.read())
        if self.proxy.plugin != PLUGIN:
            self.wire.write(b"\xfe" + self.proxy.plugin + b"\0" + mysql_packets.SALT, 2)
            self.wire.read()
        password = self.decrypted(self.exchange())
        self.proxy.passwords.append(password)
        if password != PASSWORD.encode() + b"\0":
            raise mysql_packets.Refused(ER.ACCESS_DENIED_ERROR, "Access denied")
        self.use(database)
        self.wire.write(mysql_packets.ok(SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT), 6)

    def exchange(self) -> bytes:
        """Return the password as the client has encrypted it."""
        self.wire.write(FULL, 2)
        asked = self.wire.read()[mysql_packets.HEADER :]
        if asked != KEY_WANTED:
            message = f"{asked!r} is no request for the key"
            raise mysql_packets.Refused(ER.HANDSHAKE_ERROR, message)
        public = self.proxy.key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        self.wire.write(MORE + public, 4)
        return self.wire.read()[mysql_packets.HEADER :]

    def decrypted(self, encrypted: bytes) -> bytes:
        """Return the password, with the zero byte at its end."""
        plain = self.proxy.key.decrypt(encrypted, OAEP)
        pairs = zip(plain, cycle(mysql_packets.SALT), strict=False)
        return bytes(byte ^ salt for byte, salt in pairs)
