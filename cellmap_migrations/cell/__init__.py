"""Hold what the work on one cell needs. Imports output."""
