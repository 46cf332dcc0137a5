"""``pause_file``: an operator's hand on the brake."""

from __future__ import annotations

from pathlib import Path

from cellmap_migrations.backends import Unmeasurable
from cellmap_migrations.throttling.signal import Signal


class PauseFile(Signal):
    """Asks for a pause as long as a file is there."""

    option = "pause_file"

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def reason(self) -> str | None:
        """Say that the file is there; raise Unmeasurable if that cannot be seen."""
        if not self.path.is_absolute():
            raise Unmeasurable("write an absolute path")
        try:
            # Not exists(), to which a folder that may not be entered is empty.
            self.path.stat()
        except FileNotFoundError:
            if self.path.parent.is_dir():
                return None
            raise Unmeasurable(f"there is no folder {self.path.parent}") from None
        except OSError as error:
            raise Unmeasurable(f"{error.strerror}, so nobody could see it") from None
        return f"{self.path} exists"
