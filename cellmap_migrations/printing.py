"""Print the end of a run: results on stdout, problems on stderr."""

from __future__ import annotations

import errno
import json
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from cellmap_migrations import reporting
from cellmap_migrations.errors import CellmapError, OutputLost
from cellmap_migrations.progress import say
from cellmap_migrations.reporting import gravest, ranked
from cellmap_migrations.secrets import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.reporting import Report

# The caller closed stdout, or nobody reads it any more.
CLOSED = (errno.EBADF, errno.EPIPE)


def emit(
    reports: Sequence[Report],
    *,
    as_json: bool,
    together: bool,
    error: CellmapError | None = None,
    text: Callable[[Sequence[Report]], Sequence[str]] = reporting.lines,
) -> int:
    """Print the result on stdout, and problems on stderr with the gravest last.

    *together* is for several cells: their JSON is one object with a list of cells.
    *error* is what ended such a run outside of any cell. Returns the exit code.
    """
    for report in reports:
        # What is listed does not say where, and of one cell need not.
        if len(reports) > 1 and report.listing:
            say(f"cell {report.label}:")
        for line in report.listing:
            say(line)
    errors = [each for each in (*(report.error for report in reports), error) if each]
    try:
        if as_json:
            found = summary(reports, errors) if together else reports[0].as_dict()
            write(json.dumps(found))
        else:
            for line in text(reports):
                write(line)
    except OutputLost as lost:
        # A person is told by the exit code what was done, a program by the JSON only.
        if as_json:
            errors.append(lost)
    # A signal or a limit ends many cells with the same words.
    for message in dict.fromkeys(map(str, ranked(errors))):
        say(f"error: {message}")
    return gravest(errors)


def summary(
    reports: Sequence[Report], errors: Sequence[CellmapError]
) -> dict[str, object]:
    """Return what JSON shows of a run on several cells."""
    code = gravest(errors)
    return {
        "cells": [report.as_dict() for report in reports],
        "complete": code == 0,
        "exit_code": code,
        "reason": str(ranked(errors)[-1]) if errors else "",
    }


def tell(lines: Sequence[str], error: CellmapError | None = None) -> int:
    """Print *lines*, and *error* or that they did not arrive; return the exit code."""
    try:
        for line in lines:
            write(line)
    except OutputLost as lost:
        error = error or lost
    if error:
        say(f"error: {error}")
    return error.code if error else 0


def write(line: str) -> None:
    """Write one line to stdout, if there is one; raise OutputLost if that fails."""
    if sys.stdout is None:
        return
    try:
        if isinstance(sys.stdout, TextIOWrapper):
            # A name may have letters that the locale of a hook does not have.
            sys.stdout.reconfigure(errors="backslashreplace")
        print(one_line(line), flush=True)  # noqa: T201 - this is the output
    # What Python says of a stream that was closed.
    except ValueError:
        sys.stdout = None
    except OSError as error:
        # Python would try again at its end, and end with a code of its own.
        sys.stdout = None
        if error.errno not in CLOSED:
            raise OutputLost(str(error.strerror)) from error
