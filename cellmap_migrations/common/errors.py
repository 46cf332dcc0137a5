"""Define the errors that end a run, each with its exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from cellmap_migrations.common.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# From harmless to grave. The exit code of a run with several cells is the gravest one:
# an error that needs an operator outweighs an error that needs only another run.
SEVERITY = (
    os.EX_OK,
    3,
    os.EX_TEMPFAIL,
    os.EX_DATAERR,
    os.EX_NOPERM,
    os.EX_CONFIG,
    os.EX_SOFTWARE,
)


class CellmapError(Exception):
    """End a run without its result; ``code`` is the exit code.

    *values* replace the names in braces in *sentence*. Without *values* the message is
    *sentence*, unchanged.
    """

    code: ClassVar[int] = os.EX_SOFTWARE

    def __init__(self, sentence: str = "", **values: object) -> None:
        super().__init__(sentence.format(**values) if values else sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle restore the error from its message, without ``__init__``."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class CheckFailed(CellmapError):
    """Report that a check found differences."""

    code = 3


class RowsInTheWay(CellmapError):
    """Report rows that only an operator can decide about."""

    code = os.EX_DATAERR


class TryAgain(CellmapError):
    """Report a failure after which the same command can be run again."""

    code = os.EX_TEMPFAIL


class RightsError(CellmapError):
    """Report a file or a database that this user may not read or write."""

    code = os.EX_NOPERM


class ConfigurationError(CellmapError):
    """Report an error in the configuration or the command line."""

    code = os.EX_CONFIG


# The errors that a caller catches by name. All others are in ``sentences``.


class BadOption(ConfigurationError):
    """Report an option with an unusable value."""

    def __init__(self, name: str, found: object, wanted: str) -> None:
        super().__init__(f"{name}={shown(found)} cannot be used: {wanted}")


class AlembicRefused(ConfigurationError):
    """Report an error of Alembic, such as an unknown revision."""


class UrlUnusable(ConfigurationError):
    """Report an unusable database URL, without showing the URL."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class CellUrlUnusable(ConfigurationError):
    """Report a cell whose ``database_connection`` is unusable."""

    def __init__(self, cell: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"cell {cell}: {why}; correct it with nova-manage cell_v2 update_cell"
        )


class UnknownCell(ConfigurationError):
    """Report a selector that matches no cell."""

    def __init__(self, selector: str, cells: Sequence[str]) -> None:
        super().__init__(
            f"no cell {shown(selector)!r} in cell_mappings. "
            f"Cells: {'; '.join(cells) or 'none'}"
        )


class TablesTooOld(ConfigurationError):
    """Report a table that an older version of this package created."""

    def __init__(self, table: str, missing: Iterable[str]) -> None:
        super().__init__(
            f"table {table} lacks {', '.join(missing)}, because an older version "
            "of this package created it. Run cellmap upgrade, which adds the columns, "
            "then run this command again"
        )


class DatabaseMissing(ConfigurationError):
    """Report a server that does not have the database."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(
            f"{what}: {message}; correct the name in its URL, or create it with "
            "nova-manage"
        )


class LoginRefused(RightsError):
    """Report a login that the server refuses."""


class Stopped(TryAgain):
    """Report the signal or the limit that ended the run between two batches."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"stopped: {reason}; run again to go on from here")


class Unreachable(TryAgain):
    """Report a server that did not answer in time."""

    def __init__(self, what: str, seconds: float, message: str) -> None:
        super().__init__(
            f"{what} not reached within {seconds:g} s: {message}; check that the "
            "database answers at this address, then run again"
        )


class OutputLost(TryAgain):
    """Report that the output could not be written."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the output could not be written: {why}. All committed changes stay. "
            "Correct the cause, then run again"
        )


class Unasked(TryAgain):
    """Report instances that are mapped to a cell whose database cannot be read."""

    def __init__(self, cell: str, count: int, others: str) -> None:
        super().__init__(
            f"cell {cell}: {count} instances are mapped to a cell that cannot be asked "
            f"now ({others}); run again when its database answers"
        )


class RowsLeft(RowsInTheWay):
    """Report rows that a revision left unchanged, so that Alembic records no stamp."""

    def __init__(self, cell: str, counts: str) -> None:
        super().__init__(
            f"cell {cell}: {counts} left as they are and listed above. Nothing else "
            "blocks the revision. Decide about these rows, then run again"
        )


class TopLevelCell(RowsInTheWay):
    """Report a cell whose database is the top-level database of cells v1."""

    def __init__(
        self, cell: str, copies: int, names: int, sample: int, owners: str
    ) -> None:
        super().__init__(
            f"cell {cell} looks like the top-level database of cells v1: cell_name is "
            f"set in {names} of {sample} live instances looked at, and {copies} of "
            f"them live in other cells too ({owners}). Nothing was "
            "written. Upgrade the other cells; then delete this row of cell_mappings, "
            "or let it lead to another database if it is cell0's (docs/cells-v1.rst)"
        )
