"""What a driver's error is in an operator's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations import backends, secrets
from cellmap_migrations.errors import (
    AccountUnusable,
    ArgumentRefused,
    DatabaseHidden,
    DatabaseMissing,
    DatabaseRefused,
    HostRefused,
    LoginMethodMissing,
    LoginRefused,
    PrivilegeMissing,
    StatementPooling,
    StillFailing,
    TlsRefused,
)

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database
    from cellmap_migrations.errors import CellmapError

FAULTS = {
    backends.Fault.LOGIN: LoginRefused,
    backends.Fault.ACCOUNT: AccountUnusable,
    backends.Fault.HOST: HostRefused,
    backends.Fault.METHOD: LoginMethodMissing,
    backends.Fault.TLS: TlsRefused,
    backends.Fault.ARGUMENT: ArgumentRefused,
    backends.Fault.RIGHTS: PrivilegeMissing,
    backends.Fault.HIDDEN: DatabaseHidden,
    backends.Fault.MISSING: DatabaseMissing,
    backends.Fault.POOLING: StatementPooling,
}
# Servers do not always name the user.
AS_USER = {
    backends.Fault.LOGIN,
    backends.Fault.ACCOUNT,
    backends.Fault.HOST,
    backends.Fault.METHOD,
    backends.Fault.TLS,
}


def message(error: BaseException | None) -> str:
    """Return what the driver said, masked: no SQL, no parameters, no passwords."""
    inner = backends.driver_error(error) if error else None
    return secrets.mask(inner) or type(inner).__name__


def understand(error: BaseException, database: Database) -> CellmapError:
    """Return *error* of *database* in an operator's terms."""
    fault = database.backend.fault(error)
    if fault is backends.Fault.AGAIN:
        return StillFailing(database.what, 1, message(error))
    what = database.what
    if fault in AS_USER:
        user = secrets.one_line(secrets.mask(database.engine.url.username or "nobody"))
        what = f"{what}, user {user}"
    return FAULTS.get(fault, DatabaseRefused)(what, message(error))
