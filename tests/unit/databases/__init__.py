"""Tests of ``cellmap_migrations/databases``."""
