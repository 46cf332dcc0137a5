"""Change decisions of the package, and see which tests notice it."""
