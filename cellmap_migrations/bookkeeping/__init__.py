"""Record in the API database which batches and revisions each cell has."""
