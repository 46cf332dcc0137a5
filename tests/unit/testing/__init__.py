"""Tests of ``cellmap_migrations/testing``."""
