"""Measure the same work as single statements inside the server, without a client."""

import time

import sqlalchemy as sa

from benchmarks.cloud import Bench

# What nova would write, had it written it at once.
INSERT = (
    "INSERT INTO instance_mappings (created_at, updated_at, instance_uuid, cell_id, "
    "project_id, queued_for_delete, user_id) SELECT created_at, updated_at, uuid, "
    "{cell_id}, project_id, deleted <> 0, user_id FROM {source}"
)
UNMAPPED = (
    "SELECT COUNT(*) FROM {source} i LEFT JOIN instance_mappings m "
    "ON m.instance_uuid = i.uuid WHERE m.id IS NULL"
)


def insert_select(bench: Bench, source: str) -> float:
    """Map all instances; return the seconds."""
    return run(bench, INSERT.format(cell_id=bench.cell.id, source=source))[0]


def anti_join(bench: Bench, source: str) -> float:
    """Count the instances without a mapping; return the seconds."""
    return run(bench, UNMAPPED.format(source=source))[0]


def run(bench: Bench, sql: str) -> tuple[float, int]:
    """Run a statement in the API database and commit it; return seconds and rows."""
    with bench.cloud.engine.connect() as connection:
        if bench.backend == "sqlite":
            connection.exec_driver_sql(f"ATTACH '{bench.cell.url.database}' AS cell")
            connection.commit()
        started = time.monotonic()
        rows = connection.exec_driver_sql(sql).rowcount
        connection.commit()
        return time.monotonic() - started, rows


def source(bench: Bench) -> str:
    """Return the name of the cell's instances for a statement in the API database.

    PostgreSQL cannot name a table of another database. There the whole table is copied
    into the API database, which is no part of any measurement.
    """
    if bench.backend == "sqlite":
        return "cell.instances"
    if bench.backend == "mysql":
        return f"{bench.cell.url.database}.instances"
    table = bench.cell.instances.to_metadata(sa.MetaData(), name="instances_beside")
    table.indexes.clear()
    with bench.cloud.engine.begin() as target, bench.cell.engine.connect() as cell:
        table.create(target)
        reader, writer = cell.connection.cursor(), target.connection.cursor()
        with (
            reader.copy("COPY instances TO STDOUT") as rows,
            writer.copy(f"COPY {table.name} FROM STDIN") as there,
        ):
            for block in rows:
                there.write(block)
    with bench.cloud.engine.execution_options(
        isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {table.name}")
    return str(table.name)
