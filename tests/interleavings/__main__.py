"""Try pairs alone: ``python -m tests.interleavings upgrade:sqlite:17:archive/1``.

Without a number, or without a prefix: all of them, one by one.
"""

import sys
import tempfile
from pathlib import Path

from cellmap_migrations.testing.servers import kind_of_server, serving
from tests.harness import certificates, compiled_once, second_look
from tests.interleavings.actions import PREFIXES
from tests.interleavings.explorers import EXPLORERS
from tests.interleavings.points import with_locks
from tests.interleavings.walks import fail, tried, walk


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main(pair: str) -> int:
    command, backend, number, names = [*pair.split(":"), "", ""][:4]
    kind = EXPLORERS[command]
    second_look.follow_after(0.0)
    certificates.load_once()
    compiled_once.share()
    with (
        serving(kind_of_server(backend)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        explorer = kind(kind.makes(Path(folder), lambda _: server, backend))
        together = names.startswith("together")
        named = () if together else filter(None, names.split(","))
        chosen = [PREFIXES[name] for name in named]
        points = with_locks(explorer.points) if names == "together-locked" else ()
        if number:
            case = tried(explorer, int(number), chosen)
            say(f"exit codes {case.codes}, {len(case.impossible)} cannot happen")
            say(case.errors)
            if case.complaints:
                fail(explorer, case)
        else:
            walk(explorer, chosen or explorer.prefixes, points, together=together)
        say(str(explorer.coverage))
    return bool(explorer.coverage.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
