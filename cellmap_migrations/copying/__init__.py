"""Read a page of the cell's instances, decide about each, and commit a batch."""
