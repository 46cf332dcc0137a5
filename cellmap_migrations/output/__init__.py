"""Print reports, tables and progress."""
