"""Percona's pt-archiver, which copies rows between two servers as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cloud import Bench
from benchmarks.measure import command
from cellmap_migrations.testing.servers import PASSWORD

COLUMNS = (
    "created_at",
    "updated_at",
    "instance_uuid",
    "cell_id",
    "project_id",
    "queued_for_delete",
    "user_id",
)
# It copies between columns of one name only. A virtual column costs no room.
NAMES = (
    "ADD COLUMN instance_uuid VARCHAR(36) AS (uuid) VIRTUAL, "
    "ADD COLUMN cell_id INT AS ({cell_id}) VIRTUAL, "
    "ADD COLUMN queued_for_delete TINYINT AS (deleted <> 0) VIRTUAL"
)


def archive(bench: Bench) -> float:
    """Let pt-archiver copy the cell; return its seconds."""
    url, cell = bench.cloud.url, bench.cell
    login = bench.server.folder / "login.cnf"
    login.touch(0o600)
    login.write_text(
        f"[client]\nhost={url.host}\nport={url.port}\nuser={url.username}\n"
        f'password="{PASSWORD}"\n'
    )
    with named_alike(bench):
        return command(arguments(login, str(cell.url.database), str(url.database)))


def arguments(login: Path, source: str, target: str) -> list[str]:
    """Return the command line."""
    return [
        "pt-archiver",
        "--source",
        f"F={login},D={source},t=instances,A=utf8mb4",
        "--dest",
        f"F={login},D={target},t=instance_mappings,A=utf8mb4,L=1",
        "--columns",
        ",".join(COLUMNS),
        *("--where", "1=1", "--no-delete", "--bulk-insert", "--commit-each"),
        *("--limit", "5000", "--no-check-charset", "--no-check-columns"),
        # Without it the row of the highest id is left.
        "--no-safe-auto-increment",
    ]


@contextmanager
def named_alike(bench: Bench) -> Iterator[None]:
    """Let the cell have the columns of ``instance_mappings`` for a while."""
    added = NAMES.format(cell_id=bench.cell.id)
    dropped = ", ".join(
        f"DROP COLUMN {column}"
        for column in ("instance_uuid", "cell_id", "queued_for_delete")
    )
    change(bench, added)
    yield
    change(bench, dropped)


def change(bench: Bench, how: str) -> None:
    """Alter the table of the cell."""
    with bench.cell.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE instances {how}")
