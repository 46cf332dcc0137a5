"""Compare uuids as the unique index on ``instance_mappings.instance_uuid`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.sentences import UuidsConfused

if TYPE_CHECKING:
    from collections.abc import Collection

# nova/tables.py has the whole table, but this room may not import it.
TABLE = sa.table("instance_mappings", sa.column("id"), sa.column("instance_uuid"))

UUID = "abcdef00-0001-4000-8000-00000000abcd"
# ICU collations may ignore spaces anywhere, or compare digits as numbers.
CONFUSED = (f" {UUID}", UUID.replace("-0001-", "-1-"))
COMPARED = (UUID.upper(), f"{UUID} ", *CONFUSED)


@dataclass(frozen=True, kw_only=True)
class Folding:
    """Map uuids that the index takes for equal to the same text."""

    ignores_case: bool
    ignores_trailing_spaces: bool

    def __call__(self, uuid: str) -> str:
        """Return *uuid* without the differences that the index ignores."""
        if self.ignores_trailing_spaces:
            uuid = uuid.rstrip(" ")
        return uuid.lower() if self.ignores_case else uuid

    def spellings(self, uuids: Collection[str]) -> list[str]:
        """Return *uuids* as given, folded, and in upper case if case is ignored.

        A SELECT on a cell needs each spelling, because the cell's collation may ignore
        fewer differences than the index. Spellings in mixed case are not returned.
        """
        found = {*uuids, *map(self, uuids)}
        if self.ignores_case:
            found |= {uuid.upper() for uuid in found}
        return sorted(found)


def detect(connection: sa.Connection, what: str) -> Folding:
    """Let the server compare a uuid with other spellings under the column's collation.

    The name of the collation is not used, because new releases add collations. A UNION
    with the column gives a text the column's collation on every server, even if the
    table is empty. Raises UuidsConfused, which names the database *what*, if the server
    takes different uuids for equal.
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
