"""Try pairs alone: ``python -m tests.interleavings upgrade:sqlite:17:archive/1``.

``kill`` in place of ``archive/1`` is a crash, ``kill+archive/1`` a crash and then an
action, and ``reset`` a command. Without a number they happen before each statement.
``together`` stands for all actions that meet a statement.
"""

import sys
import tempfile
from pathlib import Path

from cellmap_migrations.testing.servers import serving
from tests.harness import certificates, compiled_once, second_look
from tests.harness.newer import backend_of, kind_named
from tests.interleavings.explorers import EXPLORERS
from tests.interleavings.repeat import repeat, repeat_walk
from tests.interleavings.walks import fail


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main(pair: str) -> int:
    name, server_name, number, names = [*pair.split(":"), "", ""][:4]
    kind = EXPLORERS[name]
    second_look.follow_after(0.0)
    certificates.load_once()
    compiled_once.share()
    with (
        serving(kind_named(server_name)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        world = kind.makes(Path(folder), lambda _: server, backend_of(server_name))
        explorer = kind(world)
        try:
            if number:
                case = repeat(explorer, int(number), names)
                say(f"exit codes {case.codes}; cannot happen: {case.impossible}")
                say(f"{case.why}{case.errors}")
                if case.complaints:
                    fail(explorer, case)
            else:
                repeat_walk(explorer, names)
        finally:
            world.close()
    say(str(explorer.coverage))
    return bool(explorer.coverage.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
