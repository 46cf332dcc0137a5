"""Read the results of commands, and the rows of databases."""

import json
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers import plain_engine
from tests.harness.cloud import Cloud


def repair(cloud: Cloud, *arguments: str) -> Finished:
    """Repair cell1, and answer in JSON."""
    return cloud.cellmap("repair", "--cell", "cell1", "--output", "json", *arguments)


def named(finished: Finished, what: str) -> dict[str, set[str]]:
    """Return the uuids that were mended, or left, by kind."""
    return uuids_by_kind(finished, f"{what}_differences")


def differences(finished: Finished) -> dict[str, set[str]]:
    """Return the uuids that a run with output=json names, by kind."""
    return uuids_by_kind(finished, "differences")


def uuids_by_kind(finished: Finished, name: str) -> dict[str, set[str]]:
    """Return the uuids that the JSON of a run has under *name*."""
    found = json.loads(finished.out)[name]
    return {kind: set(listed["uuids"]) for kind, listed in found.items()}


def content(url: sa.URL) -> dict[str, list[Any]]:
    """Return every row of every table there is."""
    metadata = sa.MetaData()
    with plain_engine(url).connect() as connection:
        metadata.reflect(connection)
        return {
            table.name: sorted(connection.execute(sa.select(table)).all(), key=str)
            for table in metadata.sorted_tables
        }
