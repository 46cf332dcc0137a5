"""``cellmap-status upgrade check``: the API database, the codes and the output."""

import socket
from collections.abc import Mapping
from signal import SIGTERM

import pytest

from cellmap_migrations.nova.tables import MARKER
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import LONG_AGO, now
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness import status
from tests.harness.cloud import HOUR, Cloud
from tests.harness.inside import alembic_inside
from tests.harness.status import FAILURE, NOT_CHECKED, SUCCESS, WARNING
from tests.harness.waiting import SECONDS

API = ("API database", "API schema", "map_instances marker", "Unified limits")

UNIFIED_LIMITS = {"driver": "nova.quota.UnifiedLimitsDriver"}

PROCESS = ("-m", "cellmap_migrations.cli.upgrade_check", "--config-file")


def test_upgraded_cloud_succeeds_for_who_may_only_read(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell0")
    cloud.add_cell("cell1").add_instances(5)
    alembic_inside(cloud, "upgrade", "head", cell="all")
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})

    checked = status.check(cloud)

    assert (checked.code, checked.results) == (
        SUCCESS,
        dict.fromkeys((*API, "cell0", "cell1"), SUCCESS),
    )


def test_table_has_a_row_for_each_check(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    alembic_inside(cloud, "upgrade", "head", cell="cell1")

    finished = cloud.run(*PROCESS, str(cloud.config_file), "upgrade", "check").wait()

    rows = [line.strip("| ") for line in finished.out.splitlines() if "Check: " in line]
    assert rows == [f"Check: {name}" for name in (*API, f"Cell cell1 ({cell.uuid})")]
    assert (finished.code, finished.err) == (SUCCESS, "")


@pytest.mark.only_on("mysql", "postgresql")
def test_api_database_that_is_down_is_the_only_row(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cloud.configure(
        api_database={"connection": text(cloud.url.set(port=free_port()))},
        cellmap={"connect_timeout": 1},
    )

    checked = status.check(cloud)

    assert (checked.code, checked.results) == (FAILURE, {"API database": FAILURE})
    assert "not reached within 1 s" in checked.details["API database"]


@pytest.mark.parametrize(
    "groups",
    [
        {"api_database": {"connection": None}},
        {"cellmap": {"batch_seconds": "long"}},
    ],
    ids=["no API database", "bad option"],
)
def test_configuration_that_cannot_be_used_is_no_result(
    cloud: Cloud, groups: Mapping[str, Mapping[str, object]]
) -> None:
    cloud.configure(**groups)

    finished = status.run(cloud)

    assert (finished.code, finished.out) == (NOT_CHECKED, "")
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1


def test_column_that_the_schema_lacks_is_named(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(release="rocky")

    checked = status.check(cloud)

    assert checked.results == {
        "API database": SUCCESS,
        "API schema": FAILURE,
        "map_instances marker": SUCCESS,
        "Unified limits": WARNING,
    }
    assert checked.details["API schema"].startswith("instance_mappings.user_id not")


@pytest.mark.parametrize(("old", "result"), [(True, WARNING), (False, SUCCESS)])
def test_marker_is_stale_when_nobody_has_used_it_for_a_while(
    cloud: Cloud, old: object, result: int
) -> None:
    place = "11111111 2222 4333 8444 555555555555"
    since = LONG_AGO if old else now()
    cloud.map(place, None, project_id=MARKER, user_id=MARKER, created_at=since)

    checked = status.check(cloud)

    assert checked.results["map_instances marker"] == result


def test_mappings_that_nova_cannot_count_by_are_named(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    right, no_flag, no_user, deleted = uuids = cell.add_instances(4)
    cloud.map(right, cell)
    cloud.map(no_flag, cell, queued_for_delete=None)
    cloud.map(no_user, cell, user_id=None)
    cloud.map(deleted, cell, user_id=None, queued_for_delete=True)

    details = status.check(cloud).details["Unified limits"]

    assert [uuid for uuid in uuids if uuid in details] == [no_flag, no_user]


@pytest.mark.parametrize(
    ("quota", "result"), [({}, WARNING), (UNIFIED_LIMITS, FAILURE)]
)
def test_such_a_mapping_is_a_failure_where_unified_limits_are_in_use(
    cloud: Cloud, quota: Mapping[str, object], result: int
) -> None:
    cell = cloud.add_cell("cell1")
    cloud.map(cell.add_instance(), cell, user_id=None)
    cloud.configure(quota=quota)

    checked = status.check(cloud)

    assert checked.results["Unified limits"] == result


def test_only_a_few_of_many_such_mappings_are_named(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(5)
    cloud.map_to(cell.id, uuids, queued_for_delete=None)

    details = status.check(cloud).details["Unified limits"]

    assert [uuid for uuid in uuids if uuid in details] == uuids[:3]
    assert f"{uuids[2]} and more" in details


def test_signal_ends_a_check_of_cells_that_do_not_answer(cloud: Cloud) -> None:
    cloud.configure(cellmap={"connect_timeout": HOUR})
    with socket.create_server((HOST, 0)) as silent:
        silent.settimeout(SECONDS)
        host, port = silent.getsockname()
        for name in ("cell1", "cell2"):
            url = f"mysql+pymysql://nova@{host}:{port}/{name}"
            cloud.add_cell(name, connection=url)
        running = cloud.run(*PROCESS, str(cloud.config_file), "upgrade", "check")
        # Both are asked at the same time: the first caller is still there.
        first, second = silent.accept()[0], silent.accept()[0]
        with first, second:
            first.setblocking(False)
            with pytest.raises(BlockingIOError):
                first.recv(1)

            running.signal(SIGTERM)
            finished = running.wait()

    assert (finished.code, finished.out) == (NOT_CHECKED, "")
    assert finished.err.startswith("error: stopped: SIGTERM received")
