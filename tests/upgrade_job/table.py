"""The table that compares nova's own commands with ours, in docs/side-by-side.rst."""

import os
import re

from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import ROOT
from tests.upgrade_job.cloud import NAMES
from tests.upgrade_job.measures import live, markers, right
from tests.upgrade_job.story import Story

PAGE = ROOT / "docs" / "side-by-side.rst"

HEADS = ("", "in the cells", "nova-manage", "cellmap")

ORDER = ("nova's", "ours")

Row = tuple[object, ...]


def table(story: Story) -> str:
    """Return the table of a release as reStructuredText."""
    rows = [HEADS, *kinds(story), *totals(story), codes(story)]
    lines = [
        f"   {'*' if first else ' '} - {value}".rstrip()
        for row in rows
        for first, value in zip((True, *[False] * len(row)), row, strict=False)
    ]
    return "\n".join([".. list-table::", "   :header-rows: 1", "", *lines])


def kinds(story: Story) -> list[Row]:
    """Return a row for each kind of instances that can be mapped."""
    titles = dict.fromkeys(one.kind.title for one in story.servers if one.kind.where)
    rows: list[Row] = []
    for title in titles:
        servers = [server for server in story.servers if server.kind.title == title]
        scores = [
            sum(
                right(server, story.clouds[name], story.left[name])
                for server in servers
            )
            for name in ORDER
        ]
        rows.append((title, len(servers), *scores))
    return rows


def totals(story: Story) -> list[Row]:
    """Return what the API, quotas and nova's own bookkeeping make of the mappings."""
    reachable = [
        server
        for server in story.servers
        if server.kind.where and (server.kind.other or not server.kind.deleted)
    ]
    cells = {name: cloud.cells for name, cloud in story.clouds.items()}
    uuids = {
        name: {cell.name: cell.uuid for cell in found} for name, found in cells.items()
    }
    found = [
        sum(
            story.found[name][server.uuid] == uuids[name][str(server.kind.where)]
            for server in reachable
        )
        for name in ORDER
    ]
    rows = [story.left[name].values() for name in ORDER]
    told = ["".join(run.out + run.err for run in runs) for runs in said(story)]
    listed = [sum(one.uuid in text for one in story.twice) for text in told]
    return [
        ("**live in two cells, and listed**", len(story.twice), *listed),
        ("**not deleted, and found by the API**", len(reachable), *found),
        *quotas(story),
        ("**rows that are no mappings**", 0, *map(markers, rows)),
    ]


def quotas(story: Story) -> list[Row]:
    """Return what nova counts as the instances of all projects, if it counts them."""
    owners = live(story.cloud)
    counts = [
        # By project, of which there are as many as of its users.
        sum({of: n for (of, _), (n, _) in zip(owners, found, strict=True)}.values())
        for found in (story.quotas[name] for name in ORDER)
        if found
    ]
    return [("**counted by quotas**", sum(owners.values()), *counts)] if counts else []


def said(story: Story) -> tuple[list[Finished], list[Finished]]:
    """Return the runs that map the cells: nova's, and ours."""
    nova = [run for runs in story.mapped_by_nova.values() for run in runs]
    return nova, [story.runs[cell] for cell in NAMES]


def codes(story: Story) -> Row:
    """Return what the commands ended with, cell by cell."""
    nova = [
        " then ".join(str(run.code) for run in story.mapped_by_nova[cell])
        for cell in NAMES
    ]
    return (
        "**exit codes for cell0; cell1; cell2**",
        "",
        "; ".join(nova),
        "; ".join(str(story.runs[cell].code) for cell in NAMES),
    )


def shown(release: str) -> str:
    """Return the table that the page has for a release."""
    found = re.search(section(release), PAGE.read_text(), re.DOTALL)
    return found[2] if found else ""


def show(release: str, measured: str) -> None:
    """Put a table into the page, if WRITE_TABLES asks for it."""
    if "WRITE_TABLES" in os.environ:
        page = re.sub(
            section(release),
            lambda found: found[1] + measured + found[3],
            PAGE.read_text(),
            flags=re.DOTALL,
        )
        PAGE.write_text(page)


def section(release: str) -> str:
    """Return a pattern for what is between two comments of the page."""
    mark = re.escape(release)
    return rf"(\.\. measured with nova {mark}\n\n)(.*?)(\n\n\.\. end of {mark}\n)"
