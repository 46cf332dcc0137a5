"""What a signal is: something that may ask for a pause."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar


class Signal(ABC):
    """May ask for a pause; *option* is what an operator knows it by."""

    option: ClassVar[str]

    @abstractmethod
    def reason(self) -> str | None:
        """Return why there has to be a pause, or None. Raises Unmeasured."""

    def close(self) -> None:  # noqa: B027 - most signals open nothing
        """Close what was opened for this signal."""
