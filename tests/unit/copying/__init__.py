"""Tests of ``cellmap_migrations/copying``."""
