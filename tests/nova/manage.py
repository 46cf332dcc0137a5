"""A cloud that nova-manage itself built."""

import subprocess

import sqlalchemy as sa

from tests.nova.cloud import ROOT, Cloud, text
from tests.nova.process import Finished

# `make test` installs it: nova's own dependencies must not meet the project's.
NOVA_MANAGE = ROOT / ".venv-nova" / "bin" / "nova-manage"


class NovaCloud(Cloud):
    """An API database, cell0 and cells with every table that nova has."""

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Create a database and let nova fill it with its tables."""
        server = self.server(backend)
        url = server.create_database(f"nova_{self.number}_{name}")
        self.databases.append((server, url))
        if "instances" in tables.tables:
            self.configure(database={"connection": text(url)})
            self.manage("db", "sync", "--local_cell", check=True)
        else:
            self.configure(api_database={"connection": text(url)}, database={})
            self.manage("api_db", "sync", check=True)
        return url

    def insert(self, table: str, **columns: object) -> None:
        """Insert one row; the version of the schema is nova's to write."""
        if table != "alembic_version":
            super().insert(table, **columns)

    def manage(self, *arguments: str, check: bool = False) -> Finished:
        """Run nova-manage on this cloud's nova.conf."""
        if not NOVA_MANAGE.exists():
            message = f"{NOVA_MANAGE} is missing; run make test, which installs nova"
            raise FileNotFoundError(message)
        command = [str(NOVA_MANAGE), "--config-file", str(self.config_file), *arguments]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        if check and run.returncode:
            raise AssertionError(run.stdout + run.stderr)
        return Finished(code=run.returncode, out=run.stdout, err=run.stderr)
