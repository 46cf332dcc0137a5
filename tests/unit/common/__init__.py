"""Tests of ``cellmap_migrations/common``."""
