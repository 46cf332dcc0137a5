"""Define the errors that no caller catches by name, each as one sentence.

Raise one with a value for each pair of braces: ``raise CellGone(cell=cell)``.
"""

from __future__ import annotations

from functools import partial

from cellmap_migrations.common.errors import (
    CellmapError,
    CheckFailed,
    ConfigurationError,
    LoginRefused,
    RightsError,
    RowsInTheWay,
    TryAgain,
)

# Exit code 3.

BehindHead = partial(
    CheckFailed,
    "cell {cell} is at {revision} and not at the last one; run upgrade head",
)
DifferencesFound = partial(
    CheckFailed,
    "cell {cell} differs from its mappings: {counts}; upgrade it, or run cellmap "
    "repair if it is at the last revision",
)
DifferencesDoubted = partial(
    CheckFailed,
    "cell {cell} differs from its mappings: {counts}; see first that "
    "database_connection leads to the right database",
)

# Exit code 65.

InstancesMissing = partial(
    RowsInTheWay,
    "{cells}. None of these mappings was removed or moved, and no revision was "
    "recorded. Correct database_connection if it leads to the wrong database; if these "
    "instances are really gone, repeat their number: -x accept_orphans={orphans}, or "
    "--accept-orphans {orphans} for cellmap (docs/troubleshooting.rst)",
)
CopiedCell = partial(
    RowsInTheWay,
    "cell {cell} looks like a copy of {other}: of {sample} live instances looked at, "
    "{copies} are mapped to {other} and live there too. Nothing was written; correct "
    "database_connection of the wrong one",
)
MappedToTopLevel = partial(
    RowsInTheWay,
    "cell {cell}: {count} live instances looked at are mapped to cell {top}, which "
    "looks like the top-level database of cells v1: it has copies of them, with "
    "cell_name set. Nothing was written; remove the mappings of cell {top} "
    "(docs/cells-v1.rst), then run again",
)
MostlyElsewhere = partial(
    RowsInTheWay,
    "cell {kept} ({database}) does not have {missing:,} of {mappings:,} instances that "
    "are mapped to cell {other}{owner}. Nothing was moved; name the cell that has them "
    "with --cell, or correct database_connection. If the instances are really gone, "
    "repeat their number: --accept-orphans {missing}",
)
MappingsLeft = partial(
    RowsInTheWay,
    "cell {other}: {count:,} mappings are left, listed above, because cell {kept} does "
    "not have their instances; all others were moved. If these instances are really "
    "gone, move their mappings too: --accept-orphans {count}",
)

# Exit code 70.

DatabaseRefused = partial(CellmapError, "{what}: {message}; please report this")
NotStamped = partial(
    CellmapError,
    "cell {cell}: the version should now be {wanted}, but a fresh connection reads "
    "{found}; please report this",
)
WorkerDied = partial(
    CellmapError, "cell {cell}: its process died (status {code}); please report this"
)

# Exit code 75.

StillFailing = partial(
    TryAgain,
    "{what} failed {attempts} times, last with: {message}. All committed batches stay; "
    "run again",
)
AnotherRun = partial(
    TryAgain,
    "another run ({runner}) is working on cell {cell}: it committed batch {batch} "
    "first. Nothing was written twice; run again when it has ended",
)
OvertakenStamp = partial(
    TryAgain,
    "another run recorded a revision of cell {cell} while this one worked; run again",
)
Unsettled = partial(
    TryAgain,
    "cell {cell}: {count} mappings still changed while they were compared; run again",
)
PausedTooLong = partial(
    TryAgain,
    "paused for {seconds:g} s (max_pause): {reason}. All committed batches stay; run "
    "again when this reason is gone",
)
DuplicateSilent = partial(
    TryAgain,
    "{message}. If that database is gone for good, add --database-is-gone",
)
TopLevelDoubt = partial(
    TryAgain,
    "cell {cell} may be the top-level database of cells v1: cell_name is set in "
    "{names} of {sample} live instances looked at, and cells that may have them cannot "
    "be asked now ({others}); run again when they can (docs/cells-v1.rst)",
)
CanaryFailed = partial(
    TryAgain,
    "the other cells were not started, because the canary, cell {canary}, ended with "
    "{code}; correct its error, then run again",
)
WorkerKilled = partial(
    TryAgain,
    "cell {cell}: its process was killed ({signal}). All committed batches stay; run "
    "again",
)
SchedulerLost = partial(
    TryAgain,
    "the connection to Dask scheduler {scheduler} was lost. Its workers may still run. "
    "All committed batches stay; run again",
)

# Exit code 77. Each has the driver's message and the remedy.

PasswordRefused = partial(
    LoginRefused,
    # MariaDB and MySQL return 1130 only if no account may log in from the host.
    "{what}: {message}; correct user or password, in [api_database] connection or in "
    "the cell's database_connection, or allow this user to log in from this host",
)
AccountUnusable = partial(
    LoginRefused,
    "{what}: {message}; let an administrator of the server unlock this user, let it "
    "log in, or give it a new password",
)
HostRefused = partial(
    LoginRefused,
    "{what}: {message}; allow this user to log in from this host (an account for the "
    "host, or a line of pg_hba.conf, which may ask for TLS)",
)
PrivilegeMissing = partial(
    RightsError,
    "{what}: {message}; grant the missing privilege (docs/privileges.rst)",
)
# A server also returns this error for a missing database to a user without rights.
DatabaseHidden = partial(
    RightsError,
    "{what}: {message}; grant the missing privilege (docs/privileges.rst), or correct "
    "the database's name",
)

# Exit code 78. Connections: each has the driver's message and the remedy.

OpposedMerge = partial(
    ConfigurationError,
    "another run ({runner}) merged into cell {other} while this run merged that cell "
    "into cell {kept}. Wait until the other run has ended, decide which row of "
    "cell_mappings to keep, and run merge with that row as --cell",
)
UuidsConfused = partial(
    ConfigurationError,
    "{what}: the collation of instance_mappings.instance_uuid takes {other!r} for "
    "{uuid!r}; give the column a collation that ignores nothing but case and trailing "
    "spaces (see docs/troubleshooting.rst)",
)
LoginMethodMissing = partial(
    ConfigurationError,
    "{what}: {message}; give this user an authentication method that both the driver "
    "and the server have",
)
TlsRefused = partial(
    ConfigurationError,
    "{what}: {message}; correct the arguments of its URL that begin with ssl, or the "
    "server's TLS",
)
ArgumentRefused = partial(
    ConfigurationError,
    "{what}: {message}; correct that argument, or take it out, in its URL or in "
    "connection_parameters",
)
ServerTooOld = partial(
    ConfigurationError,
    "{what}: the server is {found}, and {oldest} is the oldest version that has the "
    "SQL of this package; upgrade the server, or run against a newer copy of it "
    "(docs/servers.rst)",
)
StatementPooling = partial(
    ConfigurationError,
    "{what}: {message}; a pooler in statement mode is in between, through which nova "
    "cannot work either; set its pool_mode to transaction or session, or use the "
    "server's own address",
)

# Exit code 78. The command line and the options.

UnknownOption = partial(
    ConfigurationError, "-x {name} is not known here; known are {known}"
)
NotSettable = partial(
    ConfigurationError,
    "{name} cannot be set while a run is under way; these options can: {known}. Give "
    "others in nova.conf, or with -x when a run begins",
)
NoApiDatabase = partial(
    ConfigurationError,
    "[api_database] connection is not set (read: {files}); name the right file with "
    "-x config_file=, or --config-file for cellmap",
)
CellNotGiven = partial(
    ConfigurationError,
    "no cell was given; add -x cell=, or --cell for cellmap, with a uuid, a name, "
    "local or all. Cells: {cells}",
)
AmbiguousCell = partial(
    ConfigurationError,
    "{count} cells are called {selector!r}; give one of their uuids: {uuids}",
)
OfflineRefused = partial(
    ConfigurationError,
    "{option} is refused: the changes depend on the rows of two databases at the time "
    "of the run, and an SQL script cannot read both",
)
MappingsInUse = partial(
    ConfigurationError,
    "a downgrade of cell {cell} removes mappings, and on a live cloud their instances "
    "answer 404 from then on; add -x remove_mappings=yes, or --remove-mappings to "
    "cellmap, to do it",
)
NoDask = partial(
    ConfigurationError,
    "--executor dask needs the Python package {missing}; install "
    "cellmap-migrations[dask] here and on the workers",
)
NoReport = partial(
    ConfigurationError,
    "cellmap report needs the Python package {missing}; install "
    "cellmap-migrations[report]",
)
NoPrometheus = partial(
    ConfigurationError,
    "--output prometheus needs the Python package {missing}; install "
    "cellmap-migrations[prometheus]",
)
WorkerUnfit = partial(
    ConfigurationError,
    "cell {cell}: a Dask worker could not begin: {message}; install the same version "
    "of this package there",
)

# Exit code 78. The databases and cell_mappings.

NoLocalCell = partial(
    ConfigurationError,
    "cell=local: no usable URL leads to the database of [database] connection, and "
    "these cells have an unusable one: {unusable}. Correct it with nova-manage cell_v2 "
    "update_cell, or name the cell",
)
CellGone = partial(
    ConfigurationError,
    "cell {cell} was deleted from cell_mappings while its instances were mapped; "
    "create it again with nova-manage cell_v2 create_cell, unless it was deleted on "
    "purpose",
)
SameDatabase = partial(
    ConfigurationError,
    "cell {cell} and cell {other} resolve to one database, {database}. Correct "
    "database_connection of the wrong one; if the cell was created twice, cellmap "
    "merge gives the mappings of one row to the other (docs/troubleshooting.rst)",
)
ApiDatabaseAsCell = partial(
    ConfigurationError,
    "cell {cell} and the API database resolve to one database, {database}; correct the "
    "cell's database_connection, or [api_database] connection",
)
NotAnApiDatabase = partial(
    ConfigurationError,
    "{database} lacks {missing}, so it is no nova API database; correct [api_database] "
    "connection, or run nova-manage api_db sync",
)
NotACellDatabase = partial(
    ConfigurationError,
    "{database} lacks {missing}, so it is no nova cell database of Liberty or later; "
    "correct database_connection, or run nova-manage db sync for it",
)
SchemaTooOld = partial(
    ConfigurationError,
    "revision {revision} needs {missing} in the API database: run nova-manage api_db "
    "sync first, or upgrade to {before} only",
)
TableRefuses = partial(
    ConfigurationError,
    "{what}: table {table} refuses every row: {message}; {remedy} (see "
    "docs/troubleshooting.rst). Then run again. All committed batches stay",
)

# Exit code 78. cellmap merge.

NotADuplicate = partial(
    ConfigurationError, "cell {cell} cannot be the duplicate: {why}"
)
DifferentDatabases = partial(
    ConfigurationError,
    "cell {kept} has {mine}, and cell {other} has {theirs}{copy}: nothing was moved, "
    "because instances of one database are not found in the other. Correct "
    "database_connection if one of the two is wrong",
)
DuplicateAnswers = partial(
    ConfigurationError,
    "cell {cell} is not gone: {database} answers there. Nothing was moved, because its "
    "instances may be there",
)
DuplicateIsKept = partial(
    ConfigurationError,
    "cell {cell} is not gone: {database} answers there. That is the database of the "
    "cell to keep: leave out --database-is-gone",
)
MergeIsFinal = partial(
    ConfigurationError,
    "cell {kept} got mappings from {gone}, which is not in cell_mappings any more, so "
    "they cannot be given back. If their instances are in another database, create "
    "that cell again with nova-manage cell_v2 create_cell: its upgrade moves them",
)
