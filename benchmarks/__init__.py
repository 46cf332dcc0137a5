"""Ratios, each of two things measured in one run on one machine."""
