"""Read what tests have recorded, when all of them have ended."""

import os
from collections.abc import Iterator
from typing import Any

import pytest


def recorded(
    reporter: "pytest.TerminalReporter", name: str
) -> Iterator[tuple[pytest.TestReport, Any]]:
    """Yield each value that a fixture recorded as the property *name* at its end.

    The reports of ends without an error have no category.
    """
    for report in reporter.getreports(""):
        for key, value in report.user_properties:
            if key == name and report.when == "teardown":
                yield report, value


def writes_tables(reporter: "pytest.TerminalReporter") -> bool:
    """Return True if the tables of the pages are wanted and no test failed."""
    failed = any(reporter.getreports(kind) for kind in ("failed", "error"))
    return "WRITE_TABLES" in os.environ and not failed
