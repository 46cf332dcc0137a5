"""Run newer servers than the system's, which ``make servers`` unpacks into .servers."""

import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from cellmap_migrations.testing.servers import kind_of_server
from cellmap_migrations.testing.servers.base import HOST, PASSWORD, Server
from cellmap_migrations.testing.servers.daemon import find_file, run
from cellmap_migrations.testing.servers.mariadb import MariaDB
from cellmap_migrations.testing.servers.mysql import MySQLServer
from cellmap_migrations.testing.servers.postgresql import PostgreSQL

FOLDER = (Path(__file__).parents[2] / ".servers").resolve()

ACCOUNTS = f"""CREATE USER admin@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO admin@'{HOST}' WITH GRANT OPTION;
"""


class MariaDB11(MariaDB):
    """Run MariaDB 11.8 with Debian's defaults."""

    base: ClassVar = FOLDER / "mariadb11" / "usr"

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program of the server."""
        return find_file(f"{cls.base}/sbin/{name}", f"{cls.base}/bin/{name}")

    def files(self) -> list[str]:
        """Return the places of the server's files as options."""
        return [*super().files(), f"--basedir={self.base}"]


class MySQL9(MySQLServer):
    """Run MySQL with its own defaults, but without waiting for the disk."""

    base: ClassVar = FOLDER / "mysql9" / "usr"

    @classmethod
    def program(cls) -> str:
        """Return the path of the server's program."""
        return find_file(f"{cls.base}/sbin/mysqld")

    @classmethod
    def version(cls) -> str:
        """Return the name and version of the server; raise NotInstalled."""
        line = subprocess.check_output([cls.program(), "--version"])
        return f"MySQL {line.decode().split('Ver ')[1].split('-')[0]}"

    def files(self) -> list[str]:
        """Return the command that runs the server, with the places of its files."""
        return [
            self.program(),
            "--no-defaults",
            f"--basedir={self.base}",
            f"--lc-messages-dir={self.base}/share/mysql",
            f"--plugin-dir={self.base}/lib/mysql/plugin",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.folder}",
            # Its default is a folder of the system.
            "--secure-file-priv=NULL",
        ]

    def install(self) -> None:
        """Create the system tables and the administrator's account."""
        accounts = self.folder / "accounts.sql"
        accounts.write_text(ACCOUNTS)
        install = ["--initialize-insecure", f"--init-file={accounts}"]
        run([*self.files(), *install], self.folder, account=self.account)

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            *self.files(),
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            "--mysqlx=OFF",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=512M",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--max-connections=200",
        ]


class PostgreSQL18(PostgreSQL):
    """Run PostgreSQL 18 with its own defaults."""

    auth: ClassVar = "scram-sha-256"

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program of the server."""
        return find_file(f"{FOLDER}/postgresql18/usr/lib/postgresql/18/bin/{name}")


# The servers that --backend may name, and the backend whose server each one replaces.
NEWER: MappingProxyType[str, tuple[str, type[Server]]] = MappingProxyType(
    {
        "mysql9": ("mysql", MySQL9),
        "mariadb11": ("mysql", MariaDB11),
        "postgresql18": ("postgresql", PostgreSQL18),
    }
)


def backend_of(name: str) -> str:
    """Return the backend of the server that a --backend names."""
    return NEWER[name][0] if name in NEWER else name


def kind_named(name: str) -> type[Server]:
    """Return the server that a --backend names; raise NotInstalled."""
    return NEWER[name][1] if name in NEWER else kind_of_server(name)


def name_of(server: Server, backend: str) -> str:
    """Return the --backend that names *server*, which is of *backend*."""
    kinds = {kind: name for name, (_, kind) in NEWER.items()}
    return kinds.get(type(server), backend)
