"""Errors, secrets, signals and background work. Imports nothing of this package."""
