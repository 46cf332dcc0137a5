"""Write a file as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import OutputLost
from cellmap_migrations.common.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def replacing(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that replaces the file *name* by a text.

    A reader of the file sees the old text or the new one. The folder is tried before
    the block runs, which may take hours. Raises OutputLost.
    """
    target = Path(os.path.realpath(name))
    part = target.with_name(f".{target.name}.{os.getpid()}")

    def replace(text: str) -> None:
        with writing(name):
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)

    with writing(name):
        if target.exists() and not target.is_file():
            raise OutputLost(f"{shown(name)} is not a file")
        part.touch()
    try:
        yield replace
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Raise OutputLost for an error of the operating system in the block."""
    try:
        yield
    except OSError as error:
        raise OutputLost(f"{shown(name)}: {error.strerror}") from error
