"""Run MariaDB in a temporary folder."""

import subprocess

from cellmap_migrations.testing.servers.base import HOST, PASSWORD
from cellmap_migrations.testing.servers.daemon import find, run
from cellmap_migrations.testing.servers.mysql import MySQLServer

SBIN = ("/usr/sbin", "/usr/local/sbin")
# Names are not resolved, so 127.0.0.1 is the host of accounts.
ACCOUNTS = f"""FLUSH PRIVILEGES;
CREATE OR REPLACE USER admin@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO admin@'{HOST}' WITH GRANT OPTION;
"""


class MariaDB(MySQLServer):
    """Run MariaDB with Debian's defaults, but without waiting for the disk.

    Committed rows outlive a crash of the server, but not of the machine.
    """

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program of the server."""
        return find(name, *SBIN, package="mariadb-server")

    @classmethod
    def version(cls) -> str:
        """Return the name and version of the server; raise NotInstalled."""
        line = subprocess.check_output([cls.program("mariadbd"), "--version"])
        return f"MariaDB {line.decode().split('Ver ')[1].split('-')[0]}"

    def files(self) -> list[str]:
        """Return the places of the server's files as options."""
        return [
            "--no-defaults",
            f"--datadir={self.folder}/data",
            # A server that starts deletes the temporary tables of all others there.
            f"--tmpdir={self.folder}",
        ]

    def install(self) -> None:
        """Create the system tables and the administrator's account."""
        (self.folder / "accounts.sql").write_text(ACCOUNTS)
        install = [
            self.program("mariadb-install-db"),
            *self.files(),
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
            f"--extra-file={self.folder}/accounts.sql",
            "--skip-name-resolve",
        ]
        run(install, self.folder, account=self.account)

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            self.program("mariadbd"),
            *self.files(),
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=512M",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--sync-frm=OFF",
            "--max-connections=200",
            # Debian's, which --no-defaults leaves out.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
        ]
