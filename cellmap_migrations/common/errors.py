"""Every failure that an operator can cause or cure, with its exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from cellmap_migrations.common.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# From harmless to grave. With several cells the gravest code is the exit code:
# what needs an operator outweighs what needs only another run.
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
    """A run that ends without its result; ``code`` is the exit code.

    *values* fill the braces of *sentence*. Without any it is the message as it is.
    """

    code: ClassVar[int] = os.EX_SOFTWARE

    def __init__(self, sentence: str = "", **values: object) -> None:
        super().__init__(sentence.format(**values) if values else sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error travel between processes: its message is its only argument."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class CheckFailed(CellmapError):
    """A check that found something; no run is needed to find it again."""

    code = 3


class RowsInTheWay(CellmapError):
    """Rows that only an operator can decide about."""

    code = os.EX_DATAERR


class TryAgain(CellmapError):
    """A run that can be repeated as it is; what was committed stays."""

    code = os.EX_TEMPFAIL


class RightsError(CellmapError):
    """Something that this user may not read or write."""

    code = os.EX_NOPERM


class ConfigurationError(CellmapError):
    """Something that must be corrected in the configuration or the command."""

    code = os.EX_CONFIG


# Each error that a caller catches by name; all others are in ``sentences``.


class BadOption(ConfigurationError):
    """An option whose value cannot be used."""

    def __init__(self, name: str, found: object, wanted: str) -> None:
        super().__init__(f"{name}={shown(found)} cannot be used: {wanted}")


class AlembicRefused(ConfigurationError):
    """The message of an error of Alembic, such as an unknown revision."""


class UrlUnusable(ConfigurationError):
    """A database URL that cannot be used at all; never shows the URL."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class CellUrlUnusable(ConfigurationError):
    """A cell's ``database_connection`` that leads nowhere."""

    def __init__(self, cell: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"cell {cell}: {why}; correct it with nova-manage cell_v2 update_cell"
        )


class UnknownCell(ConfigurationError):
    """A selector that names no cell."""

    def __init__(self, selector: str, cells: Sequence[str]) -> None:
        super().__init__(
            f"no cell {shown(selector)!r} in cell_mappings. "
            f"Cells: {'; '.join(cells) or 'none'}"
        )


class TablesTooOld(ConfigurationError):
    """A table of this package that an older version of it made."""

    def __init__(self, table: str, missing: Iterable[str]) -> None:
        super().__init__(
            f"table {table} lacks {', '.join(missing)}, because an older version "
            "of this package made it; run cellmap upgrade, which adds that, and then "
            "this command again"
        )


class DatabaseMissing(ConfigurationError):
    """A server that answers and does not have the database."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(
            f"{what}: {message}; correct the name in its URL, or create it with "
            "nova-manage"
        )


class LoginRefused(RightsError):
    """A user that a server does not let in."""


class Stopped(TryAgain):
    """A signal or a limit that ended the run between two batches."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"stopped: {reason}; run again to go on from here")


class Unreachable(TryAgain):
    """A server that did not answer in time."""

    def __init__(self, what: str, seconds: float, message: str) -> None:
        super().__init__(
            f"{what} not reached within {seconds:g} s: {message}; see that it answers "
            "there, then run again"
        )


class OutputLost(TryAgain):
    """A result that could not be printed."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the output could not be written: {why}; what was done stays, so see to "
            "that, then run again"
        )


class Unasked(TryAgain):
    """Instances whose other cell could not be asked about them."""

    def __init__(self, cell: str, count: int, others: str) -> None:
        super().__init__(
            f"cell {cell}: {count} instances are mapped to a cell that cannot be asked "
            f"now ({others}); run again when it can"
        )


class RowsLeft(RowsInTheWay):
    """Rows that a revision left as they are, so that it is not recorded."""

    def __init__(self, cell: str, counts: str) -> None:
        super().__init__(
            f"cell {cell}: {counts} left as they are and listed above; nothing else is "
            "in the way. Decide about them, then run again"
        )


class TopLevelCell(RowsInTheWay):
    """A cell whose database is the top-level one of cells v1."""

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
