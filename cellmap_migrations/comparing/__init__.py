"""Compare a cell with its mappings, and mend the differences."""
