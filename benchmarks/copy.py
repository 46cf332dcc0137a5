"""``alembic upgrade head`` beside one INSERT ... SELECT inside the server.

``python -m benchmarks.copy [mysql|postgresql] [ROWS]``
"""

import sys

import sqlalchemy as sa

from benchmarks.cloud import cloud
from benchmarks.measure import alembic, say, statement
from tests.nova.cell import Cell
from tests.nova.cloud import Cloud

# What nova would write, had it written it at once.
IN_SERVER = (
    "INSERT INTO instance_mappings (created_at, updated_at, instance_uuid, cell_id, "
    "project_id, queued_for_delete, user_id) SELECT created_at, updated_at, uuid, "
    "{cell_id}, project_id, deleted <> 0, user_id FROM {source}"
)


def in_server(made: Cloud, cell: Cell) -> float:
    """Let the server copy the rows alone; return the seconds. Undone afterwards."""
    source = beside(made, cell)
    sql = IN_SERVER.format(cell_id=cell.id, source=source)
    seconds = statement(made.engine, sql)
    statement(made.engine, "TRUNCATE TABLE instance_mappings")
    return seconds


def beside(made: Cloud, cell: Cell) -> str:
    """Return the name of the cell's instances for a statement in the API database.

    Only MariaDB can name a table of another database. For PostgreSQL the columns that
    matter are copied into the API database, which is no part of any measurement.
    """
    if made.url.get_backend_name() == "mysql":
        return f"{cell.url.database}.instances"
    name = "instances_beside"
    columns = "created_at, updated_at, uuid, project_id, user_id, deleted, id"
    with made.engine.begin() as target, cell.engine.connect() as source:
        target.execute(
            sa.text(
                f"CREATE TABLE IF NOT EXISTS {name} (created_at timestamp, updated_at "
                "timestamp, uuid varchar(36), project_id varchar(255), user_id "
                "varchar(255), deleted integer, id integer primary key)"
            )
        )
        reader = source.connection.cursor()
        writer = target.connection.cursor()
        with (
            reader.copy(f"COPY (SELECT {columns} FROM instances) TO STDOUT") as rows,
            writer.copy(f"COPY {name} ({columns}) FROM STDIN") as there,
        ):
            for block in rows:
                there.write(block)
        target.execute(sa.text(f"ANALYZE {name}"))
    return name


def main(backend: str = "mysql", rows: str = "200000") -> None:
    """Print one ratio."""
    count = int(rows)
    with cloud(backend, count) as (made, cell):
        server = in_server(made, cell)
        ours = alembic(made, "upgrade", "head", cell="cell1")
        assert ours.finished.code == 0, ours.finished.err
        again = alembic(made, "upgrade", "head", cell="cell1")
        say(f"{backend}, {count:,} instances, one in four deleted")
        say(f"  INSERT ... SELECT     {server:7.1f} s {count / server:9,.0f} rows/s")
        say(
            f"  alembic upgrade head  {ours.seconds:7.1f} s "
            f"{count / ours.seconds:9,.0f} rows/s, peak {ours.peak:.0f} MiB"
        )
        say(f"  ratio                 {server / ours.seconds:7.2f}")
        say(f"  nothing to do         {again.seconds:7.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
