"""Replace a file that others read, so that they never read half of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import BadOption, OutputLost
from cellmap_migrations.common.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Readers have users of their own.
READABLE = 0o644


def replace_file(path: str, content: bytes) -> None:
    """Replace the content of the file *path*, which every user may read then.

    The umask does not count. Raises the errors of ``replacing``.
    """
    with replacing(path, mode=READABLE) as replace:
        replace(content)


@contextmanager
def replacing(
    path: str, *, mode: int | None = None
) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that replaces the content of the file *path*.

    A reader finds the old content or the new one, also after a power failure. A link is
    followed. The new file has the rights *mode*, by default those of the umask. The
    folder is tried before the block runs, which may take hours.

    A killed process leaves a hidden file. Its name does not end as *path* does, so that
    node_exporter, which reads ``*.prom``, ignores it. Raises BadOption if *path* is a
    device or a folder, and OutputLost; the old file is then unchanged.
    """
    # A rename would replace the link.
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{token_hex(4)}")

    def replace(content: bytes) -> None:
        with writing(path):
            with part.open("wb") as file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
            sync_folder(target.parent)

    with writing(path):
        if target.exists() and not target.is_file():
            raise BadOption("-o", path, "it is not a file")
        part.touch(exist_ok=False)
    try:
        yield replace
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Raise OutputLost for an error of the operating system in the block."""
    try:
        yield
    except OSError as error:
        raise OutputLost(f"{shown(path)}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power failure."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
