"""``python3 -m cellmap_migrations.testing`` makes a cloud, and overwrites nothing."""

from pathlib import Path

import pytest

from cellmap_migrations.testing.__main__ import main


def test_folder_that_is_there_is_refused_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "nova.conf"
    kept.write_text("mine")

    with pytest.raises(SystemExit) as end:
        main([str(tmp_path)])

    *_, last = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert f"cannot create {tmp_path}: File exists; name a new folder" in last
    assert kept.read_text() == "mine"
