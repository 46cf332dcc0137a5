"""List the rooms of the package in the order in which they import."""

# From the bottom up; a room imports only from itself and from those before it, also for
# types.
ROOMS = [
    "common",
    "config",
    "databases",
    "nova",
    "bookkeeping",
    "output",
    "cell",
    "copying",
    "comparing",
    "operations",
    "__init__",
    "versions",
    "run",
    "cli",
    "env",
    "testing",
]
