"""Compare uuids as the unique index on ``instance_mappings.instance_uuid`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.sentences import UuidsConfused

if TYPE_CHECKING:
    from collections.abc import Collection

# nova.tables describes the whole table, and imports this room.
TABLE = sa.table("instance_mappings", sa.column("id"), sa.column("instance_uuid"))

UUID = "abcdef00-0001-4000-8000-00000000abcd"
# ICU collations may ignore spaces anywhere, or compare digits as numbers.
CONFUSED = (f" {UUID}", UUID.replace("-0001-", "-1-"))
COMPARED = (UUID.upper(), f"{UUID} ", *CONFUSED)


@dataclass(frozen=True, kw_only=True)
class Folding:
    """A function from a uuid to a text; the index takes uuids for equal if it is."""

    ignores_case: bool
    ignores_trailing_spaces: bool

    def __call__(self, uuid: str) -> str:
        """Return *uuid* without the differences that the index ignores."""
        if self.ignores_trailing_spaces:
            uuid = uuid.rstrip(" ")
        return uuid.lower() if self.ignores_case else uuid

    def spellings(self, uuids: Collection[str]) -> list[str]:
        """Return *uuids* and other spellings that the index takes for equal to one.

        A cell whose own collation ignores less has to be asked for each of them. A
        mixture of upper and lower case is not among them.
        """
        found = {*uuids, *map(self, uuids)}
        if self.ignores_case:
            found |= {uuid.upper() for uuid in found}
        return sorted(found)


def ask(connection: sa.Connection, what: str) -> Folding:
    """Let the server compare a uuid with other spellings under the column's collation.

    Collations have too many names to know them, and new releases bring new ones. A
    UNION with the column gives its collation to a text on every server, also if the
    table is empty. Raises UuidsConfused if the server takes different uuids for equal;
    *what* names the database.
    """
    table = TABLE.c
    column = sa.select(table.instance_uuid.label("uuid")).where(table.id.is_(None))
    texts = sa.union_all(column, sa.select(sa.literal(UUID, sa.String))).subquery()
    equal = connection.execute(
        sa.select(*(texts.c.uuid == sa.literal(text, sa.String) for text in COMPARED))
    ).one()
    case, trailing_spaces, *confused = map(bool, equal)
    if True in confused:
        other = CONFUSED[confused.index(True)]
        raise UuidsConfused(what=what, uuid=UUID, other=other)
    return Folding(ignores_case=case, ignores_trailing_spaces=trailing_spaces)
