"""Give the work on one cell its context: databases, settings, throttle, report."""
