"""Tests of cellmap_migrations on real servers."""
