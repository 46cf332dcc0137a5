"""A file that other programs read is replaced as a whole, or stays as it is."""

import os
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import pytest

from cellmap_migrations.common.errors import BadOption, OutputLost
from cellmap_migrations.output.files import replace_file

OLD, NEW = b"old\n", b"new\n" * 1_000

NOBODY = 65534

# Kills itself when the new content is written and not yet in place.
KILLED = """
import os, signal, sys
from cellmap_migrations.output.files import replace_file
os.fsync = lambda _: signal.raise_signal(signal.SIGKILL)
replace_file(sys.argv[1], b"new")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the tests' user that every user may enter and read."""
    with tempfile.TemporaryDirectory(prefix="metrics-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def file(folder: Path) -> Path:
    """A file with the old content."""
    path = folder / "cellmap.prom"
    path.write_bytes(OLD)
    return path


@contextmanager
def file_size_limit(most: int) -> Iterator[None]:
    """Let the system refuse to write more than *most* bytes to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Lose the rights of root for the block."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_file_is_replaced_and_every_user_may_read_it(file: Path) -> None:
    file.chmod(0o600)
    before = os.umask(0o077)
    try:
        replace_file(str(file), NEW)
    finally:
        os.umask(before)

    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [*file.parent.iterdir()] == [file]


def test_reader_that_has_opened_the_old_file_reads_it_to_its_end(file: Path) -> None:
    with file.open("rb") as opened:
        replace_file(str(file), NEW)

        assert opened.read() == OLD


def test_file_that_does_not_exist_is_created(folder: Path) -> None:
    replace_file(str(folder / "new.prom"), NEW)

    assert (folder / "new.prom").read_bytes() == NEW


def test_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.prom")
    link.symlink_to(file)

    replace_file(str(link), NEW)

    assert link.is_symlink()
    assert file.read_bytes() == NEW


def test_nothing_is_left_if_not_all_can_be_written(file: Path) -> None:
    with file_size_limit(len(NEW) - 1), pytest.raises(OutputLost, match="too large"):
        replace_file(str(file), NEW)

    assert file.read_bytes() == OLD
    assert [*file.parent.iterdir()] == [file]


def test_folder_that_may_not_be_written_is_named(file: Path) -> None:
    file.parent.chmod(0o555)
    with (
        somebody_else(),
        pytest.raises(OutputLost, match=rf"{file}: Permission denied"),
    ):
        replace_file(str(file), NEW)

    file.parent.chmod(0o755)
    assert file.read_bytes() == OLD
    assert [*file.parent.iterdir()] == [file]


def test_folder_that_may_not_be_entered_is_named(file: Path) -> None:
    file.parent.chmod(0)
    with somebody_else(), pytest.raises(OutputLost, match="Permission denied"):
        replace_file(str(file), NEW)

    file.parent.chmod(0o755)
    assert file.read_bytes() == OLD


def test_folder_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(OutputLost, match=r"/gone/new.prom: No such file or directory"):
        replace_file(str(folder / "gone" / "new.prom"), NEW)


def test_device_or_folder_is_not_replaced(folder: Path) -> None:
    device = folder / "device"
    os.mkfifo(device)

    for path in (device, folder):
        with pytest.raises(BadOption, match="it is not a file"):
            replace_file(str(path), NEW)

    assert device.is_fifo()


def test_killed_writer_leaves_the_old_file(file: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)

    assert killed.returncode == -SIGKILL
    assert file.read_bytes() == OLD
    # node_exporter reads what ends so.
    others = [path.name for path in file.parent.iterdir() if path != file]
    assert len(others) == 1
    assert not others[0].endswith(".prom")
