"""Make a cloud with cells that were never mapped, and map them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.demo import views
from tools.demo.kinds import OWNER, Kind, fill
from tools.demo.nova import Nova
from tools.demo.promises import Promises
from tools.demo.state import look

FOLDER = Path("demo")
ALEMBIC = Path(sys.executable).with_name("alembic")
COMMAND = str(ALEMBIC).removeprefix(f"{Path.cwd()}/")
PROMISES = Promises()


def main() -> int:
    """Tell the story; return 0 if everything went as promised."""
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    FOLDER.mkdir()
    nova = Nova(FOLDER)
    made = fill(nova)
    before = look(nova)
    nova.unplug("cell3")

    views.heading("A cloud whose instances are older than nova's instance_mappings")
    views.say(
        "GET of a live server looks up its cell in instance_mappings. Without a row "
        "there, or with a wrong one, the answer is 404. The database of cell3 is down."
    )
    views.cells(before, look(nova))

    views.heading("1. Map two cells")
    upgrade("cell0", promised=0)
    upgrade("cell1", promised=65)
    views.say(
        "65 of cell1: the rows listed contradict others, or lack a value. They do not "
        "keep the rest from being mapped, but the version is not recorded. This is "
        "what the instances of cell1 were, and what became of them:"
    )
    now = look(nova)
    views.kinds(made, before, now, decided=False)
    PROMISES.outcomes(nova, made)
    PROMISES.mappings(now, made, decided=False)

    views.heading("2. An operator decides")
    decide(nova, made)

    views.heading("3. Run again, for all cells")
    upgrade("all", promised=0)
    now = look(nova)
    views.kinds([kind for kind in made if kind.decided], before, now, decided=True)
    PROMISES.mappings(now, made, decided=True)
    views.say(
        "The same run took cell1 through two more revisions: 0002 corrected "
        "queued_for_delete of 50 mappings, and 0003 filled in user_id of 40."
    )
    PROMISES.journal(nova, "0002", "mended", 50)
    PROMISES.journal(nova, "0003", "mended", 40)

    views.heading("The cloud now")
    views.cells(before, now)
    building = next(kind for kind in made if kind.text.endswith("young"))
    views.say(
        f"The {building.rows} servers left in cell1 are younger than grace_seconds: "
        "nova is still building them, and gives them their cell itself."
    )
    PROMISES.expect("404 in cell1", building.rows, now.lost("cell1"))
    for cell in ("cell0", "cell2", "cell3"):
        PROMISES.expect(f"404 in {cell}", 0, now.lost(cell))
    PROMISES.expect("versions", set(now.live), set(now.versions))

    views.heading("Look around")
    hints()
    for broken in PROMISES.broken:
        print(f"error: {broken}", file=sys.stderr)
    return 1 if PROMISES.broken else 0


def upgrade(cell: str, promised: int) -> None:
    """Upgrade one cell, or all."""
    words = [COMMAND, "-x", f"config_file={FOLDER}/nova.conf", "-x", f"cell={cell}"]
    words += ["upgrade", "head"]
    views.command(words)
    # A variable of this shell may lead nova's configuration to a real cloud.
    env = {name: value for name, value in os.environ.items() if name[:3] != "OS_"}
    found = subprocess.run(words, env=env, check=False).returncode
    views.exit_code(found)
    if found != promised:
        sys.exit(f"error: exit code {promised} was promised")


def decide(nova: Nova, made: list[Kind]) -> None:
    """Correct what only a person can, with plain SQL."""
    conflicts = next(kind for kind in made if kind.outcome == "conflict")
    uuids = ", ".join(f"'{uuid}'" for uuid in conflicts.uuids)
    project, user = OWNER["project_id"], OWNER["user_id"]
    for why, change in {
        "Two run in cell2; their rows in cell1 are what a failed move left behind.": (
            f"deleted = id WHERE uuid IN ({uuids})"
        ),
        "Keystone's old database says whose these were.": (
            f"project_id = '{project}' WHERE project_id IS NULL"
        ),
        "Nor had these a user.": f"user_id = '{user}' WHERE user_id IS NULL",
    }.items():
        statement = f"UPDATE instances SET {change}"
        views.say(why)
        views.command(["sqlite3", f"{nova.path('cell1')}", f'"{statement}"'])
        nova.run("cell1", statement)
    views.say("The database of cell3 is back.")
    nova.plug("cell3")


def hints() -> None:
    """Say what to look at and what to try."""
    run = [COMMAND, "-x", f"config_file={FOLDER}/nova.conf"]
    slow = ["-x", "batch_rows_min=5", "-x", "batch_rows_max=5"]
    one = [*run, "-x", "cell=cell1"]
    journal = (
        '"SELECT batch, after_id, upto_id, rows_read, mapped, seconds, runner '
        'FROM cellmap_journal"'
    )
    for text, words in {
        "The configuration is nova's own:": ["cat", f"{FOLDER}/nova.conf"],
        "Which revision a cell is at:": [*one, "current"],
        "Whether its mappings agree with it:": [
            *one,
            "check",
        ],
        "The journal, a row for each batch:": ["sqlite3", f"{FOLDER}/api.db", journal],
        "A result for programs (nothing is left to do):": [
            *one,
            "-x",
            "output=json",
            "upgrade",
            "head",
        ],
        "Take the mappings of cell1 away again:": [
            *one,
            "-x",
            "remove_mappings=yes",
            "downgrade",
            "base",
        ],
        "Then map in small batches, kill it, and run it again:": [
            "timeout",
            "--signal=KILL",
            "2",
            *one,
            *slow,
            "upgrade",
            "head",
        ],
    }.items():
        views.say(text)
        views.command(words)


if __name__ == "__main__":
    sys.exit(main())
