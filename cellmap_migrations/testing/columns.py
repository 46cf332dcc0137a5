"""Define columns as nova's migrations do."""

from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

# The supported releases of nova, oldest first.
RELEASES = ("liberty", "rocky", "stein", "34")

Column: TypeAlias = sa.Column[Any]


def age_of(release: str) -> int:
    """Return the index of *release* in RELEASES; raise ValueError if unknown."""
    if release not in RELEASES:
        known = ", ".join(RELEASES)
        raise ValueError(f"no tables of nova {release!r}; there are those of {known}")
    return RELEASES.index(release)


def table(name: str, metadata: sa.MetaData, *parts: sa.schema.SchemaItem) -> sa.Table:
    """Add a table with the storage options of nova."""
    return sa.Table(name, metadata, *parts, mysql_engine="InnoDB", mysql_charset="utf8")


def key() -> Column:
    """Return the integer primary key ``id``."""
    return sa.Column("id", sa.Integer, primary_key=True, nullable=False)


def times(*names: str) -> list[Column]:
    """Return time columns: in whole seconds on MariaDB, in microseconds elsewhere."""
    return [sa.Column(name, sa.DateTime) for name in names]


def string(name: str, length: int = 255, *, nullable: bool = True) -> Column:
    """Return a text column of limited length."""
    return sa.Column(name, sa.String(length), nullable=nullable)


def integer(name: str) -> Column:
    """Return a nullable 32-bit integer column."""
    return sa.Column(name, sa.Integer)


def boolean(name: str) -> Column:
    """Return a nullable boolean column."""
    return sa.Column(name, sa.Boolean)


def text(name: str) -> Column:
    """Return a text column of up to 64 KiB on MariaDB."""
    return sa.Column(name, sa.Text)


def medium_text(name: str) -> Column:
    """Return a text column of up to 16 MiB on MariaDB."""
    kind: sa.types.TypeEngine[str] = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
    return sa.Column(name, kind)


def address(name: str) -> Column:
    """Return a column for one IP address."""
    kind: sa.types.TypeEngine[Any] = sa.String(39).with_variant(
        postgresql.INET(), "postgresql"
    )
    return sa.Column(name, kind)


def locker(enum: str) -> Column:
    """Return the column ``locked_by``; on PostgreSQL its type has the name *enum*."""
    return sa.Column("locked_by", sa.Enum("owner", "admin", name=enum))
