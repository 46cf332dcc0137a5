"""Tests of ``cellmap_migrations/nova``."""
