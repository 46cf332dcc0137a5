"""Run the tasks of the Makefile."""
