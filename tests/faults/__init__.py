"""Everything around a run breaks, and the next run makes it right."""
