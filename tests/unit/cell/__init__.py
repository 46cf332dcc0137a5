"""Tests of ``cellmap_migrations/cell``."""
