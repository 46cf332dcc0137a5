"""Merge two rows of ``cell_mappings`` that lead to one database."""
