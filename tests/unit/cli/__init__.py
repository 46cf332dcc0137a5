"""Tests of ``cellmap_migrations/cli``."""
