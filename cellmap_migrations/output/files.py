"""Replace a file that other programs read, so that they never read half of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import BadOption, OutputLost
from cellmap_migrations.common.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


# The reader has a user of its own. The umask does not count.
READABLE = 0o644


def replace_file(path: str, content: bytes) -> None:
    """Write *content* to a new file, and rename that to *path*.

    A reader finds the old content or the new one, also after a power failure. Every
    user may read the file. A link is followed. Raises BadOption if *path* is a device
    or a folder, and OutputLost; the old file is then unchanged.
    """
    # A rename would replace the link.
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            raise BadOption("-o", path, "it is not a file")
        with new_file_beside(target) as (number, name):
            with os.fdopen(number, "wb") as file:
                os.fchmod(number, READABLE)
                file.write(content)
                file.flush()
                os.fsync(number)
            name.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputLost(f"{shown(path)}: {error.strerror}") from error


@contextmanager
def new_file_beside(target: Path) -> Iterator[tuple[int, Path]]:
    """Yield the descriptor and the name of a new file; delete it after an error.

    A killed process leaves it. Its name does not end as that of *target* does, so that
    node_exporter, which reads ``*.prom``, ignores it.
    """
    number, text = mkstemp(dir=target.parent, prefix=f".{target.name}.")
    name = Path(text)
    try:
        yield number, name
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power failure."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
