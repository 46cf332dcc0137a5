"""Move rows: read a batch of the cell, decide about each row, commit."""
