"""Implement ``cellmap journal``, which prints the batches of a cell."""

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
    """Add the cell and the output."""
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Print the batches, and return the exit code."""
    return common.show(conf, list_batches, lines)


def list_batches(settings: Settings, api: Database, _: Any) -> dict[str, Any]:
    """Return the journal entries of the cells that the settings name."""
    return {
        "batches": [
            {"cell": batch.pop("cell_uuid"), **batch, **iso_times(batch)}
            for mapping in cells.find(cells.read(api), settings)
            for batch in history.batches(api, mapping.uuid)
        ]
    }


def iso_times(batch: Mapping[str, Any]) -> dict[str, str]:
    """Return the times of *batch* in ISO 8601, in UTC."""
    return {name: f"{batch[name].isoformat()}Z" for name in TIMES}


def lines(found: dict[str, Any]) -> list[str]:
    """Return the batches as the lines of a table."""
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
