"""Write the nova.conf of a test cloud."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa


class Config:
    """Hold the options of an ini file, and write it at each change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: dict[str, dict[str, object]] = {}

    def change(self, groups: Mapping[str, Mapping[str, object]]) -> None:
        """Set options by group; None removes an option."""
        for group, options in groups.items():
            self.groups.setdefault(group, {}).update(options)
        self.path.write_text("".join(map(self.section, self.groups)))

    def section(self, group: str) -> str:
        """Return the text of a group."""
        options = self.groups[group].items()
        lines = [
            f"{name} = {escape(value)}\n"
            for name, value in options
            if value is not None
        ]
        return f"[{group}]\n{''.join(lines)}\n"


def escape(value: object) -> str:
    """Return *value* with ``$`` doubled, which oslo.config reads as ``$``."""
    return str(value).replace("$", "$$")


def text(url: sa.URL) -> str:
    """Return *url* as text, with its password."""
    return url.render_as_string(hide_password=False)
