"""Tests of ``cellmap_migrations/operations``."""
