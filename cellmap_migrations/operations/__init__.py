"""Do to one cell what a revision or a command asks. Imports comparing."""
