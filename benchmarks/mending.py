"""Corrections of mappings, beside one UPDATE or DELETE with a join in the server."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import sqlalchemy as sa

from benchmarks.cloud import FALSE, UUID, Bench
from benchmarks.measure import alembic, module
from benchmarks.ratio import Ratio
from benchmarks.server_side import insert_select, run

JOINED = (
    "UPDATE instance_mappings AS m SET {column} = {value} FROM {source} AS i "
    "WHERE m.instance_uuid = i.uuid AND {where}"
)

UPDATE: Mapping[str, str] = MappingProxyType(
    {
        "mysql": "UPDATE instance_mappings m JOIN {source} i "
        "ON m.instance_uuid = i.uuid SET m.{column} = {value} WHERE {where}",
        "postgresql": JOINED,
        "sqlite": JOINED,
    }
)

DELETE = (
    "DELETE FROM instance_mappings WHERE cell_id = {cell_id} AND {word} (SELECT 1 "
    "FROM {source} i WHERE i.uuid = instance_mappings.instance_uuid)"
)

# As old as the instances, so that nova cannot be at work on them.
ORPHANS = (
    "INSERT INTO instance_mappings (created_at, updated_at, instance_uuid, cell_id, "
    "project_id, queued_for_delete, user_id) SELECT created_at, updated_at, {uuid}, "
    "{cell_id}, project_id, {false}, user_id FROM {source} WHERE deleted <> 0"
)

# The instances whose mappings are spoiled: one in four.
DELETED = "i.deleted <> 0"

TARGET = 0.5

# Names of what is measured, in the order of the table.
KINDS = ("flags", "users", "filled", "moved", "orphans", "downgrade", "merge")

MERGE = ("merge", "--cell", "cell1", "--from", "twin")

REPAIR = ("repair", "--cell", "cell1")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hold how mappings are spoiled, the SQL that corrects them, and our command.

    *ours* returns the seconds of the command.
    """

    spoil: Callable[[], object]
    correct: str
    ours: Callable[[], float]


def measured(bench: Bench, source: str, word: str, repeats: int) -> Iterator[Ratio]:
    """Yield a ratio for each kind whose name contains *word*.

    Nothing that *correct* finds may be left by our command.
    """
    tasks = Tasks(bench, source)
    for name in KINDS:
        if word not in name:
            continue
        task: Task = getattr(tasks, name)()
        ours, theirs = [], []
        for _ in range(repeats):
            task.spoil()
            bench.rest()
            seconds, rows = run(bench, task.correct)
            theirs.append(seconds)
            task.spoil()
            bench.rest()
            ours.append(task.ours())
            if left := run(bench, task.correct)[1]:
                raise RuntimeError(f"{name}: {left} of {rows} rows are left")
        tasks.tidy_up()
        yield Ratio(
            name=f"correct {name}",
            beside="UPDATE or DELETE in the server",
            database=bench.database,
            rows=rows,
            unit="s",
            ours=ours,
            theirs=theirs,
            target=TARGET,
        )


class Tasks:
    """Make the task of each kind. ``other`` is a cell without instances."""

    def __init__(self, bench: Bench, source: str) -> None:
        self.bench, self.source = bench, source
        self.other = bench.cloud.add_cell("other")
        self.twin: int | None = None

    def flags(self) -> Task:
        """Return the flags that nova's migration 061 cleared."""
        false = FALSE[self.bench.backend]
        true = {"0": "1", "FALSE": "TRUE"}[false]
        return self.column("queued_for_delete", false, true, self.revision("0002"))

    def users(self) -> Task:
        """Return the users of mappings that are older than the column."""
        return self.column("user_id", "NULL", "i.user_id", self.revision("0003"))

    def filled(self) -> Task:
        """Return mappings without a cell."""
        ours = partial(self.cellmap, REPAIR)
        return self.column("cell_id", "NULL", str(self.bench.cell.id), ours)

    def moved(self) -> Task:
        """Return mappings to a cell that does not have their instances."""
        ours, here = partial(self.cellmap, REPAIR), str(self.bench.cell.id)
        return self.column("cell_id", str(self.other.id), here, ours)

    def orphans(self) -> Task:
        """Return mappings without an instance, besides those of the cell."""
        bench = self.bench
        orphans = ORPHANS.format(
            uuid=UUID[bench.backend],
            cell_id=bench.cell.id,
            false=FALSE[bench.backend],
            source=self.source,
        )
        return Task(
            spoil=partial(self.spoil, orphans),
            correct=self.delete("NOT EXISTS"),
            ours=partial(self.cellmap, REPAIR),
        )

    def downgrade(self) -> Task:
        """Return all mappings, which an upgrade has inserted."""
        command = ("-x", "remove_mappings=yes", "downgrade", "base")
        return Task(
            spoil=self.upgrade,
            correct=self.delete("EXISTS"),
            ours=lambda: alembic(self.bench.cloud, *command).seconds,
        )

    def merge(self) -> Task:
        """Return all mappings, which name a second row of the cell."""
        cloud, here = self.bench.cloud, str(self.bench.cell.id)
        self.twin = cloud.add_cell("twin", database=self.bench.cell).id
        ours = partial(self.cellmap, MERGE)
        return self.column("cell_id", str(self.twin), here, ours, which="i.id > 0")

    def tidy_up(self) -> None:
        """Delete the second row of the cell, which every other command refuses."""
        if self.twin:
            table = self.bench.cloud.tables["cell_mappings"]
            self.bench.cloud.execute(sa.delete(table).where(table.c.id == self.twin))

    def column(
        self,
        name: str,
        wrong: str,
        right: str,
        ours: Callable[[], float],
        which: str = DELETED,
    ) -> Task:
        """Return the task to correct the *wrong* values of a column."""
        test = "IS" if wrong == "NULL" else "="
        return Task(
            spoil=partial(self.spoil, self.update(name, wrong, which)),
            correct=self.update(name, right, f"{which} AND m.{name} {test} {wrong}"),
            ours=ours,
        )

    def update(self, column: str, value: str, where: str) -> str:
        """Return the UPDATE of a column of mappings *m*, joined with instances *i*."""
        return UPDATE[self.bench.backend].format(
            source=self.source, column=column, value=value, where=where
        )

    def delete(self, word: str) -> str:
        """Return the DELETE of mappings with EXISTS or NOT EXISTS as *word*."""
        cell_id = self.bench.cell.id
        return DELETE.format(word=word, source=self.source, cell_id=cell_id)

    def spoil(self, sql: str) -> None:
        """Map all instances, and then execute *sql*."""
        self.bench.fresh()
        insert_select(self.bench, self.source)
        run(self.bench, sql)
        analyze(self.bench)

    def upgrade(self) -> None:
        """Map all instances with this package."""
        self.bench.fresh()
        alembic(self.bench.cloud, "upgrade", "head")

    def revision(self, revision: str) -> Callable[[], float]:
        """Return the function that records the revision before, and upgrades."""
        before = f"{int(revision) - 1:04}"

        def upgrade() -> float:
            alembic(self.bench.cloud, "stamp", before)
            return alembic(self.bench.cloud, "upgrade", revision).seconds

        return upgrade

    def cellmap(self, command: tuple[str, ...]) -> float:
        """Run a command of ``cellmap``; return its seconds."""
        files = ("--config-file", str(self.bench.cloud.config_file))
        return module(
            self.bench.cloud, ["cellmap_migrations.cli", *files, *command]
        ).seconds


def analyze(bench: Bench) -> None:
    """Let the server know how many mappings there are, as a server of a cloud does."""
    if bench.backend == "postgresql":
        bench.cloud.sql("ANALYZE instance_mappings")
