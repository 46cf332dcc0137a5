"""Tests of ``cellmap_migrations/output``."""
