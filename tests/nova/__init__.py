"""A small nova for tests: its tables, its servers and what it does to its rows."""
