"""Fill a new cloud with instances, through nova's own objects."""

from typing import Any

from tests.upgrade_job.cloud import JobCloud
from tests.upgrade_job.kinds import EARLIEST, HIDDEN, KINDS, NOWHERE, Server, servers


def fill(cloud: JobCloud) -> list[Server]:
    """Let nova map some instances, then add those that it did not map."""
    first = servers([EARLIEST], day=0)
    create(cloud, first)
    # One more than it may take: it leaves its marker.
    newest = servers(
        [*KINDS, *([HIDDEN] if cloud.nova.release.has_hidden else [])], day=1
    )
    begun = ["cell_v2", "map_instances", "--cell_uuid", cloud.named("cell1").uuid]
    assert cloud.manage(*begun, "--max-count", str(len(first))).code == 1
    create(cloud, newest)
    for server in newest:
        if server.kind.changed:
            cloud.named(server.kind.cell).update(server.uuid, **server.kind.changed)
        if server.kind.remapped:
            cloud.remap(server.uuid, **server.kind.remapped)
    return first + newest


def create(cloud: JobCloud, found: list[Server]) -> None:
    """Let nova create instances, their copies, and their mappings."""
    uuids = {cell.name: cell.uuid for cell in cloud.cells} | {NOWHERE: None}
    copies: list[dict[str, Any]] = []
    for server in found:
        kind = server.kind
        copies += [server.copy(kind.cell, deleted=kind.deleted, **kind.columns)]
        if kind.other:
            copies += [server.copy(kind.other, deleted=False, **kind.other_columns)]
    cloud.ask("create", [copy | {"cell": uuids[copy["cell"]]} for copy in copies])
    mapped = [
        {
            "instance_uuid": server.uuid,
            "cell": uuids[server.kind.mapped],
            "project_id": server.project_id,
            "user_id": server.user_id,
        }
        for server in found
        if server.kind.mapped
    ]
    cloud.ask("map_all", mapped)
