"""Describe nova's tables, find cells, and decide about instances."""
