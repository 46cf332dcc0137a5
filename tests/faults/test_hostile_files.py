"""A malformed nova.conf is refused in one line."""

from pathlib import Path

import pytest

from tests.faults.hostile import SECRET
from tests.faults.told import assert_told
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside

LOOP = "[api_database]\nconnection = {}\n[database]\nconnection = {}\n"

CONTENTS = [
    pytest.param(LOOP.format("$connection", "x"), id="loop of one"),
    pytest.param(
        LOOP.format("${database.connection}", "${api_database.connection}"),
        id="loop of two",
    ),
    pytest.param(
        "[cellmap]\nmax_rows = $batch_rows_max$max_rows\n", id="loop of numbers"
    ),
    pytest.param("[api_database]\nconnection = " + "x" * 5_000_000, id="huge value"),
    pytest.param("[cellmap]\nbatch_rows_max = " + "9" * 100_000, id="huge number"),
    pytest.param("[x]\n" * 300_000, id="many groups"),
    pytest.param("\0" * 1_000_000, id="zeros"),
    pytest.param("[api_database", id="open bracket"),
    pytest.param("[]\nconnection = x\n", id="group without a name"),
    pytest.param(" connection = x\n", id="continuation of nothing"),
]


@pytest.mark.parametrize("content", CONTENTS)
def test_content_of_nova_conf_is_refused(
    cloud: Cloud, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "hostile.conf"
    file.write_text(content)

    finished = alembic_inside(
        cloud, "current", cell="cell1", x={"config_file": str(file)}
    )

    assert_told(finished)
    assert (finished.code, len(finished.err.splitlines())) == (78, 1)


PATHS = ["", "/", "loop", "file/x", "a\0b", "x" * 5_000, "\ud800", "/proc/self/mem"]

PATHS += [f"{begin}nova:{SECRET}@db" for begin in ("://", "mysql://x/../../")]

PATHS += [f"mysql://nova:{SECRET}@{'x' * 5_000}", f"file/://nova:{SECRET}@db"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", ["config_file", "config_dir"])
def test_path_that_is_no_nova_conf_is_refused(
    cloud: Cloud, tmp_path: Path, option: str, path: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    named = str(tmp_path / path) if path.isprintable() and path else path

    finished = alembic_inside(
        cloud, "current", cell="cell1", x={"config_file": None, option: named}
    )

    assert_told(finished)
    assert (finished.code, len(finished.err.splitlines())) == (78, 1)
