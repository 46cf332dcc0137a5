"""A TCP proxy that loses the answers that a test tells it to lose."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from tests.nova.servers.base import HOST

SIZE = 1 << 16


class Proxy:
    """Forwards to *port* of this host, until a client sends what *cut* accepts.

    The server gets that and answers, but the client only sees the connection close.
    """

    def __init__(self, port: int, cut: Callable[[bytes], bool]) -> None:
        self.target, self.cut, self.cuts = port, cut, 0
        self.listener = socket.create_server((HOST, 0))
        self.port: int = self.listener.getsockname()[1]
        self.go(self.serve)

    def go(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        """Do *work* in a thread; a socket that breaks ends it."""

        def run() -> None:
            with suppress(OSError):
                work(*arguments)

        Thread(target=run, daemon=True).start()

    def serve(self) -> None:
        """Accept until the proxy is closed."""
        while True:
            client, _ = self.listener.accept()
            self.go(self.forward, client)

    def forward(self, client: socket.socket) -> None:
        """Forward what the client says; its answers go back in another thread."""
        with client, socket.create_connection((HOST, self.target)) as server:
            back = Back(client)
            self.go(back.forward, server)
            while data := client.recv(SIZE):
                if self.cut(data):
                    self.cuts += 1
                    back.lost = True
                server.sendall(data)

    def close(self) -> None:
        """Accept nobody any more; close() alone would leave accept() waiting."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Back:
    """The way back to one client."""

    def __init__(self, client: socket.socket) -> None:
        self.client, self.lost = client, False

    def forward(self, server: socket.socket) -> None:
        """Forward answers until one is to be lost, or there are no more."""
        while data := server.recv(SIZE):
            if self.lost:
                break
            self.client.sendall(data)
        self.client.shutdown(socket.SHUT_RDWR)
