"""Every failure that an operator can cause or cure, with its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cellmap_migrations.common.secrets import mask, mask_given

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence


# From harmless to grave. With several cells the gravest code is the exit code:
# what needs an operator outweighs what needs only another run.
SEVERITY = (0, 3, 75, 65, 77, 78, 70)

# Cells that a message names, the others are counted.
EXAMPLES = 3


class CellmapError(Exception):
    """A run that ends without its result; ``code`` is the exit code."""

    code: ClassVar[int] = 70

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error travel between processes: its message is its only argument."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class DifferencesFound(CellmapError):
    """What ``check`` found, as its own exit code."""

    code = 3

    def __init__(self, cell: str, counts: str, *, doubtful: bool = False) -> None:
        remedy = (
            "see first that database_connection leads to the right database"
            if doubtful
            else "upgrade it, or run cellmap repair if it is at the last revision"
        )
        super().__init__(f"cell {cell} differs from its mappings: {counts}; {remedy}")


class BehindHead(CellmapError):
    """What ``current --check-heads`` found, as its own exit code."""

    code = 3

    def __init__(self, cell: str, revision: str) -> None:
        super().__init__(
            f"cell {cell} is at {revision or 'no revision'} and not at the last one; "
            "run upgrade head"
        )


class ConfigurationError(CellmapError):
    """Something that must be corrected in the configuration or the command."""

    code = 78


class RightsError(CellmapError):
    """Something that this user may not read or write."""

    code = 77


class TryAgain(CellmapError):
    """A run that can be repeated as it is; what was committed stays."""

    code = 75


class ServerRefused(CellmapError):
    """What a server or its driver said, and the *remedy* of this kind of error."""

    remedy: ClassVar[str]

    def __init__(self, what: str, message: str) -> None:
        super().__init__(f"{what}: {message}; {self.remedy}")


class RowsInTheWay(CellmapError):
    """Rows that only an operator can decide about."""

    code = 65


class BadOption(ConfigurationError):
    def __init__(self, name: str, found: object, wanted: str) -> None:
        self.name, self.found = name, found
        given = mask_given(f"{name}={found}")
        super().__init__(f"{given} cannot be used: {wanted}")


class UnknownOption(ConfigurationError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(
            f"-x {mask_given(name)} is not known here; known are "
            f"{', '.join(sorted(known))}"
        )


class ConfigUnusable(ConfigurationError):
    """nova.conf cannot be found or understood."""


class ConfigUnreadable(RightsError):
    """nova.conf is there but may not be read."""


class NoApiDatabase(ConfigurationError):
    def __init__(self, files: Sequence[str]) -> None:
        read = ", ".join(files) or "no file at all"
        super().__init__(
            f"[api_database] connection is not set (read: {read}); name the right "
            "file with -x config_file=, or --config-file for cellmap"
        )


class CellNotGiven(ConfigurationError):
    def __init__(self, cells: Sequence[str]) -> None:
        super().__init__(
            "no cell was given; add -x cell=, or --cell for cellmap, with a uuid, a "
            "name, local or all. "
            f"Cells: {'; '.join(cells) or 'none'}"
        )


class UnknownCell(ConfigurationError):
    def __init__(self, selector: str, cells: Sequence[str]) -> None:
        self.selector = selector
        super().__init__(
            f"no cell {mask_given(selector)!r} in cell_mappings. "
            f"Cells: {'; '.join(cells) or 'none'}"
        )


class NoLocalCell(ConfigurationError):
    def __init__(self, unusable: Sequence[str]) -> None:
        super().__init__(
            "cell=local: no cell is known to have the database of [database] "
            "connection, and these could not be looked at: "
            f"{'; '.join(unusable)}. Correct them with nova-manage cell_v2 "
            "update_cell, or name the cell"
        )


class CellGone(ConfigurationError):
    def __init__(self, cell: str) -> None:
        super().__init__(
            f"cell {cell} was deleted from cell_mappings while its instances were "
            "mapped; create it again with nova-manage cell_v2 create_cell, or leave it"
        )


class AmbiguousCell(ConfigurationError):
    def __init__(self, selector: str, uuids: Sequence[str]) -> None:
        self.uuids = tuple(uuids)
        super().__init__(
            f"{len(uuids)} cells are called {selector!r}; give one of their uuids: "
            f"{', '.join(uuids)}"
        )


class CellUrlUnusable(ConfigurationError):
    """A cell's ``database_connection`` that leads nowhere."""

    def __init__(self, cell: str, why: str) -> None:
        self.cell, self.why = cell, why
        super().__init__(
            f"cell {cell}: {why}; correct it with nova-manage cell_v2 update_cell"
        )


class UrlUnusable(ConfigurationError):
    """A database URL that cannot be used at all; never shows the URL."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class SameDatabase(ConfigurationError):
    def __init__(self, cell: str, other: str, database: str) -> None:
        super().__init__(
            f"cell {cell} and cell {other} resolve to one database, {database}. "
            "Correct database_connection of the wrong one; if the cell was created "
            "twice, cellmap merge gives the mappings of one row to the other "
            "(docs/troubleshooting.rst)"
        )


class NotADuplicate(ConfigurationError):
    def __init__(self, cell: str, why: str) -> None:
        super().__init__(f"cell {cell} cannot be the duplicate: {why}")


class DifferentDatabases(ConfigurationError):
    def __init__(self, kept: str, mine: str, other: str, theirs: str) -> None:
        copy = ", a copy of it with the same name" if mine == theirs else ""
        super().__init__(
            f"cell {kept} has {mine}, and cell {other} has {theirs}{copy}: nothing was "
            "moved, because instances of one database are not found in the other. "
            "Correct database_connection if one of the two is wrong"
        )


class DuplicateAnswers(ConfigurationError):
    def __init__(self, cell: str, database: str, *, same: bool) -> None:
        do = (
            "That is the database of the cell to keep: leave out --database-is-gone"
            if same
            else "Nothing was moved, because its instances may be there"
        )
        super().__init__(f"cell {cell} is not gone: {database} answers there. {do}")


class MergeIsFinal(ConfigurationError):
    def __init__(self, kept: str, gone: Sequence[str]) -> None:
        super().__init__(
            f"cell {kept} got mappings from {', '.join(gone)}, which is not in "
            "cell_mappings any more, so they cannot be given back. If their instances "
            "are in another database, create that cell again with nova-manage cell_v2 "
            "create_cell: its upgrade moves them"
        )


class OpposedMerge(ConfigurationError):
    def __init__(self, kept: str, duplicate: str, runner: str) -> None:
        super().__init__(
            f"another run ({runner}) has given mappings to cell {duplicate} while this "
            f"one moved them to cell {kept}. Decide which row of cell_mappings to "
            "keep; when the other run has ended, run the merge with it as --cell"
        )


class ApiDatabaseAsCell(ConfigurationError):
    def __init__(self, cell: str, database: str) -> None:
        super().__init__(
            f"cell {cell} and the API database resolve to one database, {database}; "
            "correct the cell's database_connection, or [api_database] connection"
        )


class NotAnApiDatabase(ConfigurationError):
    def __init__(self, database: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"{database} lacks {', '.join(missing)}, so it is no nova API database; "
            "correct [api_database] connection, or run nova-manage api_db sync"
        )


class NotACellDatabase(ConfigurationError):
    def __init__(self, database: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"{database} lacks {', '.join(missing)}, so it is no nova "
            "cell database of Liberty or later; correct database_connection, or run "
            "nova-manage db sync for it"
        )


class SchemaTooOld(ConfigurationError):
    def __init__(self, missing: Sequence[str], revision: str, before: str) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"revision {revision} needs {', '.join(missing)} in the API database: "
            f"run nova-manage api_db sync first, or upgrade to {before} only"
        )


class TableRefuses(ConfigurationError):
    def __init__(self, what: str, table: str, message: str, remedy: str) -> None:
        super().__init__(
            f"{what}: table {table} refuses every row: {message}; {remedy} (see "
            "docs/troubleshooting.rst). Then run again; what was committed stays"
        )


class UuidsConfused(ConfigurationError):
    """A collation under which different uuids are equal."""

    def __init__(self, what: str, uuid: str, other: str) -> None:
        super().__init__(
            f"{what}: the collation of instance_mappings.instance_uuid takes {other!r} "
            f"for {uuid!r}; give the column a collation that ignores nothing but case "
            "and trailing spaces (see docs/troubleshooting.rst)"
        )


class TablesTooOld(ConfigurationError):
    """A table of this package that an older version of it made."""

    def __init__(self, table: str, missing: Iterable[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"table {table} lacks {', '.join(self.missing)}, because an older version "
            "of this package made it; run cellmap upgrade, which adds that, and then "
            "this command again"
        )


class OfflineRefused(ConfigurationError):
    def __init__(self) -> None:
        super().__init__(
            "--sql is refused: which rows are written depends on rows in two "
            "databases at the time of writing, and a script cannot read them"
        )


class AlembicRefused(ConfigurationError):
    """What Alembic itself says of a command, such as an unknown revision."""


class MappingsInUse(ConfigurationError):
    def __init__(self, cell: str) -> None:
        super().__init__(
            f"a downgrade of cell {cell} removes mappings, and on a live cloud their "
            "instances answer 404 from then on; add -x remove_mappings=yes, or "
            "--remove-mappings to cellmap, to do it"
        )


class DatabaseMissing(ServerRefused, ConfigurationError):
    """The server answers, the database is not there."""

    remedy = "correct the name in its URL, or create it with nova-manage"


class StatementPooling(ServerRefused, ConfigurationError):
    """A pooler that may send each statement to another session of the server."""

    remedy = (
        "a pooler in statement mode is in between, through which nova cannot work "
        "either; set its pool_mode to transaction or session, or use the server's own "
        "address"
    )


class PrivilegeMissing(ServerRefused, RightsError):
    remedy = "grant what is missing (docs/privileges.rst)"


class DatabaseHidden(ServerRefused, RightsError):
    """No right to a database, which the server also says when there is none."""

    remedy = (
        "grant what is missing (docs/privileges.rst), or correct the database's name"
    )


class LoginRefused(ServerRefused, RightsError):
    # MariaDB and MySQL say 1130 only where no account at all may log in from the host.
    remedy = (
        "correct user or password, in [api_database] connection or in the cell's "
        "database_connection, or allow this user to log in from this host"
    )


class AccountUnusable(ServerRefused, RightsError):
    remedy = (
        "let an administrator of the server unlock this user, let it log in, or give "
        "it a new password"
    )


class HostRefused(ServerRefused, RightsError):
    remedy = (
        "allow this user to log in from this host (an account for the host, or a line "
        "of pg_hba.conf, which may ask for TLS)"
    )


class LoginMethodMissing(ServerRefused, ConfigurationError):
    remedy = (
        "give this user an authentication method that both the driver and the server "
        "have"
    )


class TlsRefused(ServerRefused, ConfigurationError):
    remedy = "correct the arguments of its URL that begin with ssl, or the server's TLS"


class ArgumentRefused(ServerRefused, ConfigurationError):
    remedy = (
        "correct that argument, or take it out, in its URL or in connection_parameters"
    )


class Unreachable(TryAgain):
    def __init__(self, what: str, seconds: float, message: str) -> None:
        super().__init__(
            f"{what} not reached within {seconds:g} s: {message}; see that it answers "
            "there, then run again"
        )


class DuplicateSilent(TryAgain):
    def __init__(self, message: str) -> None:
        super().__init__(
            f"{message}. If that database is gone for good, add --database-is-gone"
        )


class StillFailing(TryAgain):
    def __init__(self, what: str, attempts: int, message: str) -> None:
        super().__init__(
            f"{what} failed {attempts} times, last with: {message}; what was "
            "committed stays, so run again"
        )


class AnotherRun(TryAgain):
    """Another run committed the batch that this one was about to commit."""

    def __init__(self, cell: str, batch: int, runner: str) -> None:
        self.batch, self.runner = batch, runner
        super().__init__(
            f"another run ({runner}) is working on cell {cell}: it committed batch "
            f"{batch} first. Nothing was written twice; run again when it has ended"
        )


class OvertakenStamp(TryAgain):
    def __init__(self, cell: str) -> None:
        super().__init__(
            f"another run recorded a revision of cell {cell} while this one worked; "
            "run again"
        )


class Stopped(TryAgain):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"stopped: {reason}; run again to go on from here")


class PausedTooLong(TryAgain):
    def __init__(self, seconds: float, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"paused for {seconds:g} s (max_pause): {reason}; what was committed "
            "stays, so run again when that is over"
        )


class OutputLost(TryAgain):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"the output could not be written: {why}; what was done stays, so see to "
            "that, then run again"
        )


class CanaryFailed(TryAgain):
    def __init__(self, canary: str, ended: int) -> None:
        super().__init__(
            f"the other cells were not started, because the canary, cell {canary}, "
            f"ended with {ended}; see to that one, then run again"
        )


class WorkerKilled(TryAgain):
    def __init__(self, cell: str, signal: str) -> None:
        super().__init__(
            f"cell {cell}: its process was killed ({signal}); what was committed "
            "stays, so run again"
        )


class SchedulerLost(TryAgain):
    def __init__(self, scheduler: str) -> None:
        super().__init__(
            f"the connection to Dask scheduler {mask_given(scheduler)} was lost; its "
            "workers may be at work still, and what they committed stays, so run again"
        )


class WorkerUnfit(ConfigurationError):
    def __init__(self, cell: str, message: str) -> None:
        super().__init__(
            f"cell {cell}: a Dask worker could not begin: {mask(message)}; install "
            "the same version of this package there"
        )


class NoDask(ConfigurationError):
    def __init__(self, missing: str | None) -> None:
        super().__init__(
            f"--executor dask needs the Python package {missing or 'distributed'}; "
            "install cellmap-migrations[dask] here and on the workers"
        )


class WorkerDied(CellmapError):
    def __init__(self, cell: str, code: int) -> None:
        super().__init__(
            f"cell {cell}: its process died (status {code}); please report this"
        )


class Unasked(TryAgain):
    def __init__(self, cell: str, count: int, others: str) -> None:
        super().__init__(
            f"cell {cell}: {count} instances are mapped to a cell that cannot be asked "
            f"now ({others}); run again when it can"
        )


class TopLevelDoubt(TryAgain):
    def __init__(
        self, cell: str, names: int, sample: int, others: Sequence[str]
    ) -> None:
        super().__init__(
            f"cell {cell} may be the top-level database of cells v1: cell_name is set "
            f"in {names} of {sample} live instances looked at, and cells that may "
            f"have them cannot be asked now ({', '.join(others)}); run again when "
            "they can (docs/cells-v1.rst)"
        )


class Unsettled(TryAgain):
    def __init__(self, cell: str, count: int) -> None:
        super().__init__(
            f"cell {cell}: {count} mappings still changed while they were compared; "
            "run again"
        )


class RowsLeft(RowsInTheWay):
    def __init__(self, cell: str, counts: str) -> None:
        super().__init__(
            f"cell {cell}: {counts} left as they are and listed above; nothing else is "
            "in the way. Decide about them, then run again"
        )


class InstancesMissing(RowsInTheWay):
    def __init__(self, cells: Sequence[str], orphans: int) -> None:
        self.orphans = orphans
        super().__init__(
            f"{'; '.join(cells)}. None of these mappings was removed or moved, and no "
            "revision was recorded. Correct "
            "database_connection if it leads to the wrong database; if these instances "
            f"are really gone, repeat their number: -x accept_orphans={orphans}, or "
            f"--accept-orphans {orphans} for cellmap (docs/troubleshooting.rst)"
        )


class CopiedCell(RowsInTheWay):
    def __init__(self, cell: str, other: str, copies: int, sample: int) -> None:
        super().__init__(
            f"cell {cell} looks like a copy of {other}: of {sample} live instances "
            f"looked at, {copies} are mapped to {other} and live there too. Nothing "
            "was written; correct database_connection of the wrong one"
        )


class TopLevelCell(RowsInTheWay):
    def __init__(
        self, cell: str, copies: int, names: int, sample: int, owners: Counter[str]
    ) -> None:
        self.copies, self.owners = copies, owners
        most = [f"{other} has {each}" for other, each in owners.most_common(EXAMPLES)]
        more = [f"{len(owners) - EXAMPLES} more cells"] * (len(owners) > EXAMPLES)
        super().__init__(
            f"cell {cell} looks like the top-level database of cells v1: cell_name is "
            f"set in {names} of {sample} live instances looked at, and {copies} of "
            f"them live in other cells too ({', '.join(most + more)}). Nothing was "
            "written. Upgrade the other cells; then delete this row of cell_mappings, "
            "or let it lead to another database if it is cell0's (docs/cells-v1.rst)"
        )


class MappedToTopLevel(RowsInTheWay):
    def __init__(self, cell: str, top: str, count: int) -> None:
        super().__init__(
            f"cell {cell}: {count} live instances looked at are mapped to cell {top}, "
            "which looks like the top-level database of cells v1: it has copies of "
            "them, with cell_name set. Nothing was written; remove the mappings of "
            f"cell {top} (docs/cells-v1.rst), then run again"
        )


class MostlyElsewhere(RowsInTheWay):
    def __init__(
        self,
        kept: str,
        database: str,
        other: str,
        *,
        missing: int,
        mappings: int,
        owner: str,
    ) -> None:
        super().__init__(
            f"cell {kept} ({database}) does not have {missing:,} of "
            f"{mappings:,} instances that are mapped "
            f"to cell {other}{owner}. Nothing was moved; name the cell that has them "
            "with --cell, or correct database_connection. If the instances are really "
            f"gone, repeat their number: --accept-orphans {missing}"
        )


class MappingsLeft(RowsInTheWay):
    def __init__(self, kept: str, other: str, count: int) -> None:
        super().__init__(
            f"cell {other}: {count:,} mappings are left, listed above, because cell "
            f"{kept} does not have their instances; all others were moved. If these "
            "instances are really gone, move their mappings too: "
            f"--accept-orphans {count}"
        )


class DatabaseRefused(ServerRefused):
    """A database error that this package has no answer to."""

    remedy = "please report this"


class NotStamped(CellmapError):
    """Alembic ended well, and its version row is not there."""

    def __init__(self, cell: str, wanted: str, found: str) -> None:
        super().__init__(
            f"cell {cell}: the version should now be {wanted}, but a fresh connection "
            f"reads {found}; please report this"
        )
