"""Describe nova's tables, cells and rules. Imports databases."""
