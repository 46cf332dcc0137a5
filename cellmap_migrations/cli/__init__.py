"""Implement the console scripts ``cellmap`` and ``cellmap-status``."""
