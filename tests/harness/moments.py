"""Moments of an upgrade, as ``tests/harness/moment.py`` spells them."""

# In the order of a run. Each death is one or two batches after the one before.
MOMENTS = (
    "before CREATE TABLE #1",
    "after CREATE TABLE #2",
    "after FROM instances #3",
    "after FROM instance_mappings #2",
    "after INSERT INTO instance_mappings #2",
    "after UPDATE instance_mappings #1",
    "after UPDATE instance_mappings #2",
    "after INSERT INTO cellmap_journal #2",
    "after COMMIT #2",
)

AT_THE_END = (
    "before count_1, coalesce( #1",
    "after count_1, coalesce( #2",
    "before INSERT INTO cellmap_version #1",
    "after INSERT INTO cellmap_version #1",
)
