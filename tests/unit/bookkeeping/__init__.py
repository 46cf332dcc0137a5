"""Tests of ``cellmap_migrations/bookkeeping``."""
