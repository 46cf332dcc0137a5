"""What a driver's error is in an operator's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations import backends, secrets
from cellmap_migrations.errors import (
    DatabaseHidden,
    DatabaseMissing,
    DatabaseRefused,
    LoginRefused,
    PrivilegeMissing,
    StatementPooling,
    StillFailing,
)

if TYPE_CHECKING:
    from cellmap_migrations.errors import CellmapError

FAULTS = {
    backends.Fault.LOGIN: LoginRefused,
    backends.Fault.RIGHTS: PrivilegeMissing,
    backends.Fault.HIDDEN: DatabaseHidden,
    backends.Fault.MISSING: DatabaseMissing,
    backends.Fault.POOLING: StatementPooling,
}


def message(error: BaseException | None) -> str:
    """Return what the driver said, masked: no SQL, no parameters, no passwords."""
    inner = backends.driver_error(error) if error else None
    return secrets.mask(inner) or type(inner).__name__


def understand(
    error: BaseException, what: str, backend: backends.Backend
) -> CellmapError:
    """Return *error* in an operator's terms."""
    fault = backend.fault(error)
    if fault is backends.Fault.AGAIN:
        return StillFailing(what, 1, message(error))
    return FAULTS.get(fault, DatabaseRefused)(what, message(error))
