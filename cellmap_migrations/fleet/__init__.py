"""Do the same for many cells at once, each in a process of its own."""
