"""``cellmap check`` of an equal cell beside one anti-join inside the server.

``python -m benchmarks.compare [mysql|postgresql] [ROWS]``
"""

import sys
from pathlib import Path

from benchmarks.cloud import cloud
from benchmarks.copy import IN_SERVER, beside
from benchmarks.measure import module, say, statement


def on_the_wire() -> int:
    """Return the bytes that went over the loopback interface so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    raise FileNotFoundError("/proc/net/dev has no lo")


def main(backend: str = "mysql", rows: str = "1000000") -> None:
    """Print one ratio, and the traffic of the check."""
    count = int(rows)
    with cloud(backend, count) as (made, cell):
        source = beside(made, cell)
        statement(made.engine, IN_SERVER.format(cell_id=cell.id, source=source))
        analyze = "ANALYZE TABLE" if backend == "mysql" else "ANALYZE"
        statement(made.engine, f"{analyze} instance_mappings")
        server = statement(
            made.engine,
            f"SELECT COUNT(*) FROM {source} i LEFT JOIN instance_mappings m "
            "ON m.instance_uuid = i.uuid WHERE m.id IS NULL",
        )
        command = ["--config-file", str(made.config_file), "check", "--cell", "cell1"]
        before = on_the_wire()
        ours = module(made, ["cellmap_migrations.cli", *command])
        moved = on_the_wire() - before
        assert ours.finished.code == 0, ours.finished.err
        say(f"{backend}, {count:,} instances, all mapped and equal")
        say(f"  LEFT JOIN ... IS NULL {server:7.1f} s {count / server:9,.0f} rows/s")
        say(
            f"  cellmap check         {ours.seconds:7.1f} s "
            f"{count / ours.seconds:9,.0f} rows/s, peak {ours.peak:.0f} MiB"
        )
        say(f"  ratio                 {server / ours.seconds:7.2f}")
        say(f"  to and from client    {moved / 1e6:7.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
