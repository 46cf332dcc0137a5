"""``cellmap journal``: the batches of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import history
from cellmap_migrations.cli import common
from cellmap_migrations.nova import cells
from cellmap_migrations.output import tables
from cellmap_migrations.output.report import spell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from oslo_config import cfg

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


SUMMARY = "Show every batch that was committed for a cell."

EXAMPLE = "Example: cellmap journal --cell cell1"

TIMES = ("started_at", "stamp")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing of its own."""
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Show them."""
    return common.show(conf, look, lines)


def look(settings: Settings, api: Database, _: Any) -> dict[str, Any]:
    """Return the batches as they are recorded; times are UTC."""
    return {
        "batches": [
            {"cell": batch.pop("cell_uuid"), **batch, **times(batch)}
            for cell in cells.find(cells.read(api), settings)
            for batch in history.batches(api, cell.uuid)
        ]
    }


def times(batch: Mapping[str, Any]) -> dict[str, str]:
    """Return the times of a batch as JSON has them."""
    return {name: f"{batch[name].isoformat()}Z" for name in TIMES}


def lines(found: dict[str, Any]) -> list[str]:
    """Return the table for a person."""
    return tables.lines(
        (
            *("CELL", "REVISION", "BATCH", "AFTER", "UP TO", "ROWS", "OUTCOMES"),
            *("STARTED", "SECONDS", "PAUSED", "REASON", "RUNNER"),
        ),
        [
            (
                batch["cell"],
                batch["revision"],
                batch["batch"],
                batch["after_id"],
                batch["upto_id"],
                batch["rows_read"],
                spell(batch) or "-",
                batch["started_at"],
                round(batch["seconds"], 2),
                round(batch["paused"], 2) if batch["paused"] else "-",
                batch["pause_reason"] or "-",
                batch["runner"],
            )
            for batch in found["batches"]
        ],
    )
