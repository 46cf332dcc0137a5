"""Boot and delete servers one after another with nova's code and nova's Python."""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from nova import context, objects

PROJECT = USER = "writing"

# The machine has more to do, the commands that are tested above all.
PAUSE = 0.1


def write(request: dict[str, str]) -> None:
    """Boot and delete servers in *cell* until the file *stop* exists.

    The file *log* has a line for each: empty, or the error that nova got.
    """
    cell, stop = None, Path(request["stop"])
    with Path(request["log"]).open("w", buffering=1) as log:
        while not stop.exists():
            try:
                cell = cell or objects.CellMapping.get_by_uuid(admin(), request["cell"])
                boot_and_delete(cell)
            except Exception as error:  # noqa: BLE001 - the test's process shows it
                log.write(" ".join(f"{type(error).__name__}: {error}".split()))
            log.write("\n")
            time.sleep(PAUSE)


def boot_and_delete(cell: Any) -> None:
    """Do the writes of the API, the conductor and a compute host in their order."""
    uuid = str(uuid4())
    mapping = objects.InstanceMapping(
        admin(),
        instance_uuid=uuid,
        project_id=PROJECT,
        user_id=USER,
        queued_for_delete=False,
        cell_mapping=None,
    )
    mapping.create()
    with context.target_cell(admin(), cell) as targeted:
        instance = objects.Instance(
            targeted, uuid=uuid, project_id=PROJECT, user_id=USER, vm_state="building"
        )
        instance.create()
    mapping.cell_mapping = cell
    mapping.save()
    instance.vm_state = "active"
    instance.save()
    mapping.queued_for_delete = True
    mapping.save()
    instance.destroy()


def admin() -> Any:
    """Return an administrator's context."""
    return context.get_admin_context()
