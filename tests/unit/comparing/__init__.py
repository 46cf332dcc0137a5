"""Tests of ``cellmap_migrations/comparing``."""
