"""Compare what was shown with what was promised: the demo is a check as well."""

from collections import Counter
from collections.abc import Sequence

from tools.demo.kinds import Kind
from tools.demo.nova import CELLS, Nova
from tools.demo.state import State


class Promises:
    """Remembers which promises were broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def expect(self, what: str, promised: object, found: object) -> None:
        """Compare one thing."""
        if promised != found:
            self.broken.append(f"{what}: {promised} promised, {found} found")

    def outcomes(self, nova: Nova, made: Sequence[Kind]) -> None:
        """Compare the counts of cell1's journal."""
        promised: Counter[str] = Counter()
        for kind in made:
            promised[kind.outcome] += kind.rows
        for outcome, count in promised.items():
            self.journal(nova, "0001", outcome, count)

    def journal(self, nova: Nova, revision: str, outcome: str, count: int) -> None:
        """Compare one sum of cell1's journal."""
        found = nova.query(
            "api",
            f"SELECT sum({outcome}) FROM cellmap_journal "
            f"WHERE cell_uuid = '{CELLS['cell1']}' AND revision = '{revision}'",
        )
        self.expect(f"{outcome} in the journal of {revision}", count, found[0][0])

    def mappings(self, state: State, made: Sequence[Kind], *, decided: bool) -> None:
        """Compare where each mapping of cell1's instances leads."""
        for kind in made:
            outcome = kind.outcome_now(decided=decided)
            promised = {kind.cell_id(outcome)}
            found = {state.mappings.get(uuid, 0) for uuid in kind.uuids}
            self.expect(f"cell_id of instances with {kind.text}", promised, found)
