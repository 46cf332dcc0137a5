"""Do to one cell the work of a revision or of a command."""
