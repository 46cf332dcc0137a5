"""Print the results, and write them to files."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.ratio import Ratio
from benchmarks.servers import SERVERS
from tests.harness.asking import NEWEST

LIBRARIES = ("cellmap-migrations", "alembic", "SQLAlchemy", "PyMySQL", "psycopg")

NAMES = {
    "mysql": "MariaDB",
    "mysql9": "MySQL",
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
}

MET = {None: "", True: "met", False: "missed"}


def versions(databases: Sequence[str], *, beside: bool) -> dict[str, str]:
    """Return the versions of all that takes part, and what it runs on.

    The other programs take part if *beside* is true.
    """
    servers = {NAMES[name]: SERVERS[name].version().split()[1] for name in databases}
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        **servers,
        **(peers() if beside and "mysql" in databases else {}),
        "Linux": platform.release(),
        "processors": str(len(os.sched_getaffinity(0))),
    }


def peers() -> dict[str, str]:
    """Return the versions of the peers, which run on MariaDB only."""
    archiver = output("pt-archiver", "--version").split()[-1]
    return {"nova": nova(), "percona-toolkit": archiver}


def nova() -> str:
    """Return the release of nova that is installed beside the project."""
    python = str(NEWEST.bin / "python")
    code = "import importlib.metadata as m; print(m.version('nova'))"
    return output(python, "-c", code).strip()


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def table(ratios: Sequence[Ratio]) -> Table:
    """Return the results as a table."""
    made = Table(
        "what",
        "beside",
        "database",
        caption="Targets of speed are meant for 1,000,000 rows.",
    )
    for heading in ("rows", "it takes", "beside", "ratio", "target"):
        made.add_column(heading, justify="right")
    made.add_column("")
    for ratio in ratios:
        made.add_row(
            ratio.name,
            ratio.beside,
            NAMES[ratio.database],
            f"{ratio.rows:,}",
            f"{median(ratio.ours):,.3g} {ratio.unit}",
            f"{median(ratio.theirs):,.3g} {ratio.unit}",
            f"{ratio.value:,.2f}",
            target(ratio),
            MET[ratio.met],
        )
    return made


def target(ratio: Ratio) -> str:
    """Spell what the ratio should be."""
    if ratio.target is None:
        return ""
    plus = f" + {ratio.plus:.2g} {ratio.unit}" if ratio.plus else ""
    return f"{'at most' if ratio.cost else 'at least'} {ratio.target:.3g}{plus}"


def show(ratios: Sequence[Ratio], facts: Mapping[str, str]) -> None:
    """Print the table, and what it was measured with."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(ratios))
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))


def progress(ratio: Ratio) -> None:
    """Say on stderr what has just been measured."""
    sys.stderr.write(
        f"{NAMES[ratio.database]}: {ratio.name} / {ratio.beside}: {ratio.value:.3g}\n"
    )


def write(
    path: Path,
    ratios: Sequence[Ratio],
    facts: Mapping[str, str],
    settings: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the results as JSON."""
    found = {
        "versions": facts,
        "settings": settings,
        "ratios": [ratio.record() for ratio in ratios],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")
