"""Try pairs alone: ``python -m tests.interleavings upgrade:sqlite:17:archive/1``.

Without a number, or without a prefix: all of them, one by one.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

from cellmap_migrations.testing.servers import kind_of_server, serving
from tests.harness import certificates, second_look
from tests.interleavings.actions import PREFIXES
from tests.interleavings.grid import Explorer, explain, fail, tried, walk
from tests.interleavings.world import World


def main(pair: str) -> int:
    _, backend, number, names = [*pair.split(":"), "", ""][:4]
    second_look.follow_after(0.0)
    certificates.load_once()
    with (
        serving(kind_of_server(backend)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        explorer = Explorer(World(Path(folder), lambda _: server, backend))
        chosen = [PREFIXES[name] for name in names.split(",") if name]
        if number:
            case = tried(explorer, int(number), chosen)
            print(case.codes, case.done, case.impossible, case.errors, sep="\n")
            if case.complaints:
                fail(explorer, case)
        else:
            walk(explorer, chosen or PREFIXES.values(), together=names == "together")
        print(explorer.coverage)
    return bool(explorer.coverage.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
