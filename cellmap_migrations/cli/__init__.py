"""The ``cellmap`` console script, one module per command."""
