"""Tests of what the package promises as a whole."""
