"""Online data migrations of nova's instance mappings, as Alembic revisions.

A version script imports its names from here; everything else may change.
"""

from cellmap_migrations.cell import Cell
from cellmap_migrations.rules import deleted_or_soft_deleted

__all__ = ["Cell", "deleted_or_soft_deleted"]
