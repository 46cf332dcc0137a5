"""How Sphinx builds the pages of this folder."""

from importlib import metadata

project = "cellmap-migrations"
release = metadata.version(project)
exclude_patterns = ["_build"]
