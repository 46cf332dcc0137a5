"""The server of the databases goes away while a cell is copied, and comes back."""

from collections.abc import Callable

import pytest

from cellmap_migrations.testing.servers.network import NetworkServer
from tests.conftest import MakeCloud
from tests.faults.struck import BATCH, Struck
from tests.faults.tally import Tally

MOMENTS = (
    "after INSERT INTO instance_mappings #5",
    "before CREATE TABLE #1",
    "after FROM instances #5",
    "before COMMIT #5",
    "after COMMIT #5",
    "before count_1, coalesce( #1",
    "before INSERT INTO cellmap_version #1",
)


GONE = {
    NetworkServer.stop: "the server was restarted during a copy",
    NetworkServer.crash: "the server was killed during a copy, and started again",
}


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(leave, marks=pytest.mark.fault(name), id=leave.__name__)
        for leave, name in GONE.items()
    ],
)
def test_server_goes_and_comes_back(
    make_cloud: MakeCloud,
    tallied: Tally,
    leave: Callable[[NetworkServer], None],
    *,
    thorough: bool,
) -> None:
    for moment in MOMENTS if thorough else MOMENTS[:1]:
        struck = Struck(make_cloud(), 20 * BATCH)
        server = struck.cloud.server(struck.cloud.url.get_backend_name())
        assert isinstance(server, NetworkServer)

        running = struck.cloud.start_frozen(moment, cell="cell1")
        leave(server)
        running.thaw()
        server.start()
        ended = running.wait()

        tallied.add(ended.code, rows=len(struck.servers))
        assert (moment, ended.code) == (moment, 0), ended.err
        struck.assert_right()
