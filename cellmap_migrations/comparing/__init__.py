"""Prove rows: compare a cell with its mappings, both ways."""
