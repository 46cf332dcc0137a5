"""Write down what nova-manage builds, so that tests can compare our tables with it.

``python -m tests.harness.dump NOVA_MANAGE > tests/harness/nova34.json`` runs the
migrations of nova 34 on the three databases. Tests need only the file.
"""

import json
import subprocess
import sys
from typing import TypeAlias

import sqlalchemy as sa

from cellmap_migrations.testing import BACKENDS
from cellmap_migrations.testing.config import escape
from cellmap_migrations.testing.schema import api_tables, cell_tables
from cellmap_migrations.testing.servers import (
    Server,
    kind_of_server,
    plain_engine,
    serving,
)
from tests.harness.manage import nova_text

# Table name -> columns, in order, and indexes, each as one line of text.
Facts: TypeAlias = dict[str, dict[str, dict[str, str]]]


def facts(url: sa.URL, tables: list[str]) -> Facts:
    """Return the facts of *tables* in the database."""
    inspector = sa.inspect(plain_engine(url))
    return {
        table: {
            "columns": columns(inspector, table),
            "keys": keys(inspector, table),
            "options": options(inspector, table),
        }
        for table in tables
    }


def columns(inspector: sa.Inspector, table: str) -> dict[str, str]:
    """Return type and nullability of each column."""
    return {
        column["name"]: kind(column["type"]) + (" NULL" if column["nullable"] else "")
        for column in inspector.get_columns(table)
    }


def kind(of: sa.types.TypeEngine[object]) -> str:
    """Spell a type without its collation, which follows the server's release."""
    details = [getattr(of, name, None) for name in ("length", "enums", "display_width")]
    found = [str(detail) for detail in details if detail is not None]
    return f"{type(of).__name__}({', '.join(found)})" if found else type(of).__name__


def keys(inspector: sa.Inspector, table: str) -> dict[str, str]:
    """Return the columns of each index, unique constraint and foreign key."""
    found = {
        "PRIMARY": ", ".join(inspector.get_pk_constraint(table)["constrained_columns"])
    }
    for unique in inspector.get_unique_constraints(table):
        found[str(unique["name"])] = f"UNIQUE {', '.join(unique['column_names'])}"
    for index in inspector.get_indexes(table):
        names = ", ".join(str(name) for name in index["column_names"])
        found[str(index["name"])] = f"UNIQUE {names}" if index["unique"] else names
    for foreign in inspector.get_foreign_keys(table):
        source, target = foreign["constrained_columns"], foreign["referred_columns"]
        to = f"{foreign['referred_table']}.{', '.join(target)}"
        found[f"FOREIGN {', '.join(source)}"] = to
    return dict(sorted(found.items()))


def options(inspector: sa.Inspector, table: str) -> dict[str, str]:
    """Return storage engine and character set, which only MariaDB has."""
    found = inspector.get_table_options(table)
    return {
        name: str(value)
        for name, value in sorted(found.items())
        if name in {"mysql_engine", "mysql_default charset"}
    }


def nova_facts(server: Server, nova_manage: str) -> Facts:
    """Let nova build both of its schemas; return their facts."""
    api, cell = (server.create_database(f"nova_{name}") for name in ("api", "cell"))
    config = server.folder / "nova.conf"
    config.write_text(
        f"[api_database]\nconnection = {escape(nova_text(api))}\n"
        f"[database]\nconnection = {escape(nova_text(cell))}\n"
    )
    for command in (["api_db", "sync"], ["db", "sync", "--local_cell"]):
        sync = [nova_manage, "--config-file", str(config), *command]
        subprocess.run(sync, check=True, stdout=sys.stderr)
    return facts(api, list(api_tables("34").tables)) | facts(
        cell, list(cell_tables("34").tables)
    )


def main(nova_manage: str) -> None:
    """Print the facts of all backends as JSON."""
    found = {}
    for backend in BACKENDS:
        with serving(kind_of_server(backend)) as server:
            found[backend] = nova_facts(server, nova_manage)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
