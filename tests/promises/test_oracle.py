"""Random clouds end as a plain reading of the rules says."""

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import PROJECT, USER, now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.oracle import Row, World, died, exit_code, orphans, outcome, uuid_of
from tests.harness.upgrading import dry_run, map_cell

EXAMPLES = {"sqlite": 40, "mysql": 8, "postgresql": 8}

# How many times as many examples a thorough run has.
THOROUGH = 10

SERVERS = 9

WRITTEN = {"mapped", "filled", "moved", "already"}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a cloud of two or three cells with any kinds of rows."""
    count = draw(st.integers(2, 3))
    servers = st.integers(0, SERVERS)
    rows = st.builds(
        Row,
        server=servers,
        deleted=st.booleans(),
        hidden=st.sampled_from([False, False, False, None, True]),
        vm_state=st.sampled_from(["active", "soft-delete", "building"]),
        project=st.sampled_from([True, True, True, False]),
        user=st.sampled_from([True, True, True, False]),
        age=st.sampled_from([None, 0, 10_000, 100_000]),
    )
    cells = draw(
        st.lists(
            st.lists(rows, max_size=SERVERS, unique_by=lambda row: row.server),
            min_size=count,
            max_size=count,
        )
    )
    places = st.sampled_from([None, *range(count)])
    return World(
        cells=[{row.server: row for row in rows} for rows in cells],
        mapped=draw(st.dictionaries(servers, places)),
        building=frozenset(draw(st.sets(servers, max_size=2))),
        down=frozenset(draw(st.sets(st.integers(1, 1), max_size=1))),
    )


def build(cloud: Cloud, world: World) -> None:
    """Put the rows of *world* into the databases."""
    cloud.clear()
    for cell, rows in zip(cloud.cells, world.cells, strict=False):
        for row in rows.values():
            cell.add_instance(**columns(row))
    for server, place in world.mapped.items():
        cell_id = None if place is None else cloud.cells[place].id
        cloud.map_to(cell_id, [uuid_of(server)])
    for server in world.building:
        cloud.request_build(uuid_of(server))
    for number, cell in enumerate(cloud.cells):
        table = cloud.tables["cell_mappings"]
        url = None if number in world.down else text(cell.url)
        cloud.execute(
            table.update().filter_by(uuid=cell.uuid).values(database_connection=url)
        )


def columns(row: Row) -> dict[str, Any]:
    """Return the columns of a row."""
    age = None if row.age is None else timedelta(seconds=row.age)
    # A deleted row is deleted whatever vm_state says.
    return {
        "uuid": uuid_of(row.server),
        "deleted": row.deleted,
        "hidden": row.hidden,
        "vm_state": row.vm_state,
        "project_id": PROJECT if row.project else None,
        "user_id": USER if row.user else None,
        "created_at": None if age is None else now() - age,
    }


def test_random_clouds_end_as_the_rules_say(
    make_cloud: MakeCloud, backend: str, *, thorough: bool
) -> None:
    cloud = make_cloud()
    for name in ("cell1", "cell2", "cell3"):
        cloud.add_cell(name)

    times = THOROUGH if thorough else 1

    @settings(
        max_examples=times * EXAMPLES[backend],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(world=worlds())
    def end_as_the_rules_say(world: World) -> None:
        build(cloud, world)
        rows = world.cells[0].values()
        outcomes = {row.server: outcome(world, 0, row) for row in rows}
        counts = dict(Counter(outcomes.values()))
        before = cloud.mappings()

        x = {}
        if displaced := orphans(world, 0):
            assert map_cell(cloud, cloud.cells[0]).code == 65
            assert cloud.mappings() == before
            x["accept_orphans"] = str(displaced)
        foreseen = dry_run(cloud, cloud.cells[0], **x)
        assert cloud.mappings() == before
        ended = map_cell(cloud, cloud.cells[0], **x)

        assert foreseen == (ended.code, ended.told)
        code = exit_code(counts, died=died(world, 0))
        assert (counts, code, code == 0) == (ended.told, ended.code, ended.stamped)
        after = cloud.mappings()
        here = cloud.cells[0].id
        for server, name in outcomes.items():
            uuid = uuid_of(server)
            if name in WRITTEN:
                assert after[uuid].cell_id == here
            else:
                assert before.get(uuid) == after.get(uuid)
            if name == "mapped":
                row = world.cells[0][server]
                queued = row.deleted or row.vm_state == "soft-delete"
                assert queued == after[uuid].queued_for_delete
        # Whatever has no row here is none of this cell's business.
        others = before.keys() - {uuid_of(server) for server in outcomes}
        assert all(before[uuid] == after[uuid] for uuid in others)

    end_as_the_rules_say()
