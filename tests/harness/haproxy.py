"""Run HAProxy in front of the nodes of a cluster, as OpenStack's tools set it up."""

from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import sqlalchemy as sa

from cellmap_migrations.testing.servers import plain_engine
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import find, free_port
from cellmap_migrations.testing.servers.mysql import MySQLServer
from tests.harness.front import Front

ACCOUNT = "haproxy"

# Seconds for an answer to a check. A node that is only slow must not be marked down, as
# that cuts the connections of the tests themselves.
PATIENCE = 10

CONFIG = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 2m
    timeout server 2m
    timeout check {patience}s
    option redispatch

listen spread
    bind {host}:{spread}
    balance roundrobin
    option httpchk GET /
    default-server inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
{all}

listen active
    bind {host}:{active}
    default-server on-marked-down shutdown-sessions
{backups}
"""


class HAProxy(Front):
    """Connect clients of the port *spread* to any node, and those of *active* to one.

    Only nodes whose check succeeds get connections; those to other nodes are cut.
    *active* is for the first of these nodes.
    """

    def __init__(self, folder: Path, checks: Sequence["Check"]) -> None:
        self.spread, self.active = free_port(), free_port()
        self.checks = checks
        everywhere = [
            f"    server n{number} {HOST}:{check.node.port} check port {check.port}"
            for number, check in enumerate(self.checks)
        ]
        in_turn = [
            f"    server n{number} {HOST}:{check.node.port} track spread/n{number}"
            f"{' backup' if number else ''}"
            for number, check in enumerate(self.checks)
        ]
        config = folder / "haproxy.cfg"
        config.write_text(
            CONFIG.format(
                host=HOST,
                patience=PATIENCE,
                spread=self.spread,
                active=self.active,
                all="\n".join(everywhere),
                backups="\n".join(in_turn),
            )
        )
        program = find("haproxy", "/usr/sbin", package="haproxy")
        command = [program, "-db", "-f", str(config)]
        super().__init__(command, folder, self.spread, account=ACCOUNT)

    def close(self) -> None:
        """Kill HAProxy, and stop the checks."""
        super().close()
        for check in self.checks:
            check.server.shutdown()
            check.server.server_close()


class Check:
    """Answer HAProxy's HTTP requests with 200 while *query* returns 1 on a node."""

    def __init__(self, node: MySQLServer, query: str) -> None:
        self.node, self.query = node, query
        bounds = dict.fromkeys(["connect_timeout", "read_timeout"], str(PATIENCE))
        self.engine = plain_engine(node.url("mysql", "admin").update_query_dict(bounds))
        check = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if check.usable() else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port: int = self.server.server_port
        Thread(target=self.server.serve_forever, daemon=True).start()

    def usable(self) -> bool:
        """Return True if the query returns 1."""
        try:
            with self.engine.connect() as connection:
                return bool(connection.exec_driver_sql(self.query).scalar())
        except sa.exc.DBAPIError:
            return False
