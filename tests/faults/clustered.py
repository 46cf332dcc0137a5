"""Test clusters whose nodes all take writes."""

from typing import Any, ClassVar

import pytest

from cellmap_migrations.bookkeeping import tables, versions
from cellmap_migrations.common import background
from cellmap_migrations.testing.process import Finished
from tests.faults import copying, nodes
from tests.faults.copying import LONG, Cause, Copy
from tests.faults.tally import Tally
from tests.harness.books import HEAD
from tests.harness.clusters import Cluster, longest
from tests.harness.inside import alembic_inside, opened
from tests.harness.waiting import wait_for

# Few enough for a node that is behind: it does not ask the others to wait for it.
FEW = 4


class Clustered:
    """Test a cluster of *kind*, which docs/reliability.rst calls *database*."""

    kind: ClassVar[type[Cluster[Any]]]
    database: ClassVar[str]

    @pytest.mark.parametrize("cause", nodes.faults(nodes.CAUSES))
    def test_copy_ends_complete(self, copy: Copy, tallied: Tally, cause: Cause) -> None:
        copy.complete(cause, tallied)

    @pytest.mark.parametrize(
        ("late", "command"), [("cell", "check"), ("api", "upgrade")]
    )
    @pytest.mark.fault("a node is behind when all is done elsewhere")
    def test_command_sees_what_another_node_has_committed(
        self, small: Copy, tallied: Tally, late: str, command: str
    ) -> None:
        first, *_, last = small.cluster.nodes
        with small.cluster.behind(last) as apply:
            small.cell.add_instances(FEW)
            small.by_way_of(first.port)
            small.cell_by_way_of(first.port)
            upgraded = alembic_inside(
                small.cloud, "upgrade", "head", cell="cell1", x=small.x(FEW)
            )
            if late == "api":
                small.by_way_of(last.port)
            else:
                small.cell_by_way_of(last.port)
            running = small.cloud.start_cellmap(command, "--cell", "cell1")
            copying.wait_until_it_waits(small, running)
            apply()
            finished = running.wait()

        assert (upgraded.code, upgraded.err) == (0, "")
        assert (finished.code, finished.err) == (0, "")
        tallied.add(upgraded.code, finished.code, rows=len(small.cell.uuids()))

    def test_version_is_recorded_where_its_table_has_yet_to_be_created(
        self, small: Copy
    ) -> None:
        first, *_, last = small.cluster.nodes
        small.by_way_of(last.port)
        with (
            opened(small.cloud, small.cell) as there,
            versions.connection(there.api, there.mapping) as connection,
            small.cluster.behind(last) as apply,
        ):
            small.by_way_of(first.port)
            with opened(small.cloud, small.cell) as here:
                tables.create_tables(here.api)
            insert = tables.versions.insert().values(version_num=HEAD)
            recorded = background.start(lambda: connection.execute(insert).rowcount)
            wait_for(
                lambda: recorded.done() or longest(last, small.cloud.url) > LONG,
                "an INSERT that waits",
            )
            apply()
            assert recorded.result() == 1

        small.cluster.catch_up()
        assert small.cloud.versions() == {small.cell.uuid: HEAD}

    @pytest.mark.fault("a node is behind when a run goes on there")
    def test_run_goes_on_after_what_another_node_has_committed(
        self, small: Copy, tallied: Tally
    ) -> None:
        first, *_, last = small.cluster.nodes
        x = small.x(FEW)
        limited = {**x, "max_rows": x["batch_rows_max"]}

        def go_on() -> Finished:
            return alembic_inside(
                small.cloud, "upgrade", "head", cell="cell1", x=limited
            )

        small.by_way_of(first.port)
        small.cell_by_way_of(first.port)
        begun = go_on()
        small.cluster.catch_up()
        with small.cluster.behind(last) as apply:
            stopped = go_on()
            small.by_way_of(last.port)
            running = small.cloud.start("upgrade", "head", cell="cell1", x=x)
            copying.wait_until_it_waits(small, running)
            apply()
            codes = small.finish(running)

        assert (begun.code, stopped.code, codes) == (75, 75, [0])
        tallied.add(begun.code, stopped.code, *codes, rows=len(small.uuids))
