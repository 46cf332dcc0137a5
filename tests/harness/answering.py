"""Run nova's own code for the tests, in the Python of nova's environment.

Each line on stdin asks for something, each line on stdout answers it. What is asked
for runs in a process of its own, forked after nova was imported: nova-manage needs
seconds to import what its commands then use for a moment.
"""

import gc
import json
import os
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from tempfile import TemporaryFile
from typing import Any

# The first of nova's modules, as in nova-manage: it says how nova does several things
# at once, before any other can.
from nova.cmd import manage, status

# isort: split
from nova import config, context, exception, objects, quota, rpc
from nova.compute import api

from tests.harness.writing import write

PROGRAMS = {"nova-manage": manage.main, "nova-status": status.main}


def create(found: list[dict[str, Any]]) -> None:
    """Create instances in their cells, and destroy the deleted ones."""
    for cell, instances in by_cell(found):
        with context.target_cell(admin(), cell) as targeted:
            for columns in instances:
                deleted = columns.pop("deleted")
                created = datetime.fromisoformat(columns.pop("created_at"))
                known = columns.keys() & objects.Instance.fields.keys()
                instance = objects.Instance(
                    targeted,
                    created_at=created.replace(tzinfo=timezone.utc),
                    **{name: columns[name] for name in known},
                )
                instance.create()
                if deleted:
                    instance.destroy()


def destroy(found: list[dict[str, Any]]) -> None:
    """Delete the copies of instances that are in these cells."""
    for cell, instances in by_cell(found):
        with context.target_cell(admin(), cell) as targeted:
            for columns in instances:
                objects.Instance.get_by_uuid(targeted, columns["uuid"]).destroy()


def by_cell(
    found: list[dict[str, Any]],
) -> Iterable[tuple[Any, list[dict[str, Any]]]]:
    """Yield nova's cells, each with the rows that name it, without that name."""
    names = [row.pop("cell") for row in found]
    for uuid in dict.fromkeys(names):
        cell = uuid and objects.CellMapping.get_by_uuid(admin(), uuid)
        rows = [row for name, row in zip(names, found, strict=True) if name == uuid]
        yield cell, rows


def map_all(found: list[dict[str, Any]]) -> None:
    """Create mappings, as the API does when it takes a request to build."""
    for cell, mappings in by_cell(found):
        for columns in mappings:
            objects.InstanceMapping(admin(), cell_mapping=cell, **columns).create()


def verify(uuids: list[str]) -> list[int]:
    """Return the exit code of ``cell_v2 verify_instance``."""
    commands = manage.CellV2Commands()
    return [commands.verify_instance(uuid, quiet=True) for uuid in uuids]


def find(uuids: list[str]) -> list[str | None]:
    """Return the cell in which the compute API finds each instance, if it does."""
    rpc.init(config.CONF)
    compute = api.API()

    def cell(uuid: str) -> str | None:
        try:
            found: str = compute.get(admin(), uuid)._context.cell_uuid
        except exception.InstanceNotFound:
            return None
        return found

    return [cell(uuid) for uuid in uuids]


def count(owners: list[tuple[str, str]]) -> list[list[int]]:
    """Return the number of instances of each project and user, as quotas count them."""
    mappings = objects.InstanceMappingList
    if not hasattr(mappings, "get_counts"):
        # Until Train, quotas do not count mappings.
        return []
    found = [mappings.get_counts(admin(), of, user_id=user) for of, user in owners]
    return [[one["project"]["instances"], one["user"]["instances"]] for one in found]


def populated(_: None) -> bool | None:
    """Return True if quotas may count mappings, in releases that have a choice."""
    ask = getattr(quota, "is_qfd_populated", None)
    return ask and bool(ask(admin()))


VERBS = {
    verb.__name__: verb
    for verb in (create, destroy, map_all, verify, find, count, populated, write)
}


def admin() -> Any:
    """Return an administrator's context."""
    return context.get_admin_context()


def run(program: str, arguments: list[str]) -> int:
    """Run one of nova's programs to its end."""
    sys.argv = [program, *arguments]
    return int(PROGRAMS[program]() or 0)


def call(verb: str, arguments: list[str], about: Any) -> int:
    """Print nova's answer as JSON."""
    config.parse_args(["nova-manage", *arguments])
    sys.stdout.write(json.dumps(VERBS[verb](about)))
    return 0


def apart(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request in a new process; return its exit code and its output."""
    with TemporaryFile() as out, TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            child(request, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"code": code, "out": out.read().decode(), "err": err.read().decode()}


def child(request: dict[str, Any], out: int, err: int) -> None:
    """Do the request in the new process, and exit."""
    code = 255
    try:
        os.dup2(out, sys.stdout.fileno())
        os.dup2(err, sys.stderr.fileno())
        os.environ.update(request.pop("env"))
        code = run(**request) if "program" in request else call(**request)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the parent tells
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# What every request needs of nova, and what no process has to visit as garbage.
objects.register_all()
gc.freeze()
for line in sys.stdin:
    print(json.dumps(apart(json.loads(line))), flush=True)  # noqa: T201
