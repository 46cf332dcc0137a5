"""Run a TCP proxy that breaks connections at a chosen request."""

import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from threading import Event, Thread

from cellmap_migrations.testing.servers.base import HOST

SIZE = 1 << 16

# What a receiver's kernel takes beyond that, and the segments of a network: loopback's
# are of 64 KB, of which a sender's kernel keeps some megabytes (Linux).
RECEIVED, SEGMENT = 1 << 14, 1460


class Break(Enum):
    """Name the treatment of a request and of its connection."""

    NO_REQUEST = "the server never gets it, and both see the connection close"
    NO_ANSWER = "the server answers, but the client only sees the connection close"
    HALF_REQUEST = "the server gets a half, and nobody hears anything any more"
    HALF_ANSWER = "the client gets a half, and nobody hears anything any more"
    UNREAD = "nobody reads it, so that the client cannot even send the rest"


SILENT = (Break.HALF_REQUEST, Break.HALF_ANSWER, Break.UNREAD)


def listen(how: Break) -> socket.socket:
    """Listen on a free port, with small buffers where nobody is going to read."""
    listener = socket.socket()
    if how is Break.UNREAD:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    listener.bind((HOST, 0))
    listener.listen()
    return listener


class Proxy:
    """Forward to *port* of this host until *cut* returns True for a request.

    Before the break shows, the server has answered, and what happens *then* is done.
    """

    def __init__(
        self,
        port: int,
        cut: Callable[[bytes], bool],
        how: Break = Break.NO_ANSWER,
        *,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.target, self.cut, self.how, self.cuts = port, cut, how, 0
        self.then, self.closed = then, Event()
        self.listener = listen(how)
        self.port: int = self.listener.getsockname()[1]
        self.go(self.serve)

    def go(self, work: Callable[..., None], *arguments: object) -> None:
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
        """Forward the client's requests; answers go back in another thread."""
        with client, socket.create_connection((HOST, self.target)) as server:
            broken = Event()
            self.go(self.back, server, client, broken)
            while data := client.recv(SIZE):
                if not broken.is_set() and self.cut(data):
                    self.cuts += 1
                    broken.set()
                    if self.how is Break.NO_REQUEST:
                        # close() would say nothing while the other thread waits.
                        server.shutdown(socket.SHUT_RDWR)
                        break
                    if self.how is Break.HALF_REQUEST:
                        server.sendall(data[: len(data) // 2])
                    if self.how in (Break.HALF_REQUEST, Break.UNREAD):
                        self.closed.wait()
                        break
                server.sendall(data)

    def back(self, server: socket.socket, client: socket.socket, broken: Event) -> None:
        """Forward answers until the connection is *broken*, or there are no more."""
        while data := server.recv(SIZE):
            if broken.is_set():
                self.then()
                if self.how is Break.HALF_ANSWER:
                    client.sendall(data[: len(data) // 2])
                break
            client.sendall(data)
        # The server may have closed it: it was idle for too long.
        if broken.is_set() and self.how in SILENT:
            self.closed.wait()
        client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop to accept clients; close() alone would leave accept() waiting."""
        self.closed.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
