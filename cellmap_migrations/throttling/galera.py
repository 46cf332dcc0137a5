"""A Galera cluster of which the API database's server is a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.backends import Unmeasurable, Unmeasured
from cellmap_migrations.driver_errors import message
from cellmap_migrations.progress import say
from cellmap_migrations.throttling.asking import ask
from cellmap_migrations.throttling.signal import Signal

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database

# Write sets that the node has received and not applied. At 16, by default, it would
# ask the whole cluster to wait: gcs.fc_limit.
QUEUE = 10
# The share of the time for which flow control may hold the cluster.
HELD = 0.1


class GaleraNode(Signal):
    """Asks for a pause while the cluster, or this node of it, does not keep up."""

    option = "Galera"

    def __init__(self, api: Database) -> None:
        self.api, self.clock = api, api.stopping.clock
        # By node: a proxy may lead each connection to another one.
        self.seen: dict[str, tuple[float, float]] = {}

    @staticmethod
    def found(api: Database) -> bool:
        """Say whether the API database's server may be a node that tells its state.

        One that does not answer now may be one; then there is a pause until it does.
        """
        try:
            return ask(api, api.backend.status.node) is not None
        except Unmeasurable as error:
            say(f"warning: Galera's flow control is not watched: {message(error)}")
            return False
        except Unmeasured:
            return True

    def reason(self) -> str | None:
        """Say what the cluster suffers from."""
        node = ask(self.api, self.api.backend.status.node)
        if node is None:
            return None
        now = self.clock()
        before, paused = self.seen.get(node.name, (now, node.paused))
        self.seen[node.name] = now, node.paused
        if not node.ready:
            return "the Galera node is not ready"
        if node.queue > QUEUE:
            return f"{node.queue} write sets wait in the Galera node's receive queue"
        held = (node.paused - paused) / (now - before) if now > before else 0.0
        if held > HELD:
            return f"flow control held the Galera cluster for {held:.0%} of the time"
        return None
