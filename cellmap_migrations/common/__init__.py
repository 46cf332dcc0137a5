"""Define errors, mask secrets, handle signals and start threads."""
