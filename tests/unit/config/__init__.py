"""Tests of ``cellmap_migrations/config``."""
