"""``report`` tells the truth about each cell, and writes nothing but its file."""

import html
import json
import re
import sys
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.operations import findings
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers import SECRETS
from tests.conftest import MakeCloud
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside

NAMES = [outcome.value for outcome in Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file for the page, in a folder of its own."""
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder / "report.html"


def report(cloud: Cloud, file: Path, *arguments: str) -> str:
    """Return the page that the command writes; it must end well."""
    finished = cellmap_inside(cloud, "report", "-o", str(file), *arguments)
    assert (finished.code, finished.out) == (0, "")
    page = file.read_text()
    assert [secret for secret in SECRETS if secret in page] == []
    return page


def undecided(page: str) -> dict[str, list[str]]:
    """Return cell, kind, reason and command of each row to decide about, by uuid."""
    found = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    return {row[0]: row[1:] for each in found for row in json.loads(each)}


def rows(page: str, title: str) -> list[list[str]]:
    """Return the texts of the rows of the table below a title."""
    section = page.partition(f">{title}</h")[2].partition("</table>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<svg.*?</svg>|<.*?>", "", each, flags=re.DOTALL))
            for each in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in found
    ]


def tiles(page: str) -> dict[str, str]:
    """Return the numbers at the top."""
    top = page.partition("</dl>")[0]
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", top)
    return {name: html.unescape(re.sub(r"<.*?>", "", value)) for name, value in found}


def test_page_of_a_cell_with_every_outcome(cloud: Cloud, file: Path) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = {name: cell.add_kind(name, other) for name in NAMES}
    # Nova answers 404 for it with and without a mapping.
    cell.add_instance(deleted=True)
    before = report(cloud, file, "--cell", "cell1")

    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    after = report(cloud, file, "--cell", "cell1")

    waiting = {uuids[name] for name in ("conflict", "rejected", "unresolved")}
    assert undecided(before).keys() == undecided(after).keys() == waiting
    uuid = uuids["rejected"]
    for page in (before, after):
        *words, command = undecided(page)[uuid]
        why = "project_id is NULL, and a mapping must have one"
        assert words == ["cell1", "rejected", why]
        assert command.splitlines() == [
            "-- in the database of this cell:",
            "UPDATE instances SET project_id = '<project_id>'",
            f"WHERE uuid = '{uuid}';",
            "cellmap upgrade --cell cell1",
        ]
    # What has no mapping, one without a cell, or one to a cell without the instance.
    [row] = rows(before, "What nova answers")[1:-1]
    assert row == ["cell1", "4", "4", "1"]
    [row] = rows(after, "What nova answers")[1:-1]
    assert row == ["cell1", "5", "1", "1"]
    assert rows(before, "What a command corrects")[1] == [
        *("cell1", "2 unmapped, 1 no_cell, 1 wrong_cell"),
        "cellmap upgrade --cell cell1",
    ]
    assert rows(after, "What a command corrects") == []


def test_commands_of_the_page_decide(cloud: Cloud, file: Path) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    conflict, rejected = (cell.add_kind(n, other) for n in ("conflict", "rejected"))
    nobody = cell.add_instance(user_id=None)
    died = cell.add_instance(vm_state="building")
    cloud.map(died, None)
    cloud.request_build(died)
    hidden = other.add_instance(hidden=True)
    cloud.map(hidden, cell)
    owned = cell.add_instance()
    cloud.map(owned, cell, project_id="another's")
    places = {
        "-- in the database of the cell with the wrong copy:": cell.engine,
        "-- in the database of this cell:": cell.engine,
        "-- in the database of the cell with the hidden copy:": other.engine,
        "-- in the API database:": cloud.engine,
    }
    rows = undecided(report(cloud, file))

    for _, kind, _, command in rows.values():
        first, *_ = lines = command.splitlines()
        if first in places:
            with places[first].begin() as connection:
                connection.exec_driver_sql(" ".join(lines[1:3]))
        if kind == "in_flight":
            assert first == f"openstack server delete {died}"
            # What nova does then.
            requests = cloud.tables["build_requests"]
            cloud.execute(requests.delete().filter_by(instance_uuid=died))
        for line in lines:
            if line.startswith("cellmap "):
                cellmap_inside(cloud, *line.split()[1:])

    kinds = {uuid: row[1] for uuid, row in rows.items()}
    assert kinds == {
        conflict: "conflict",
        rejected: "rejected",
        nobody: "rejected",
        died: "in_flight",
        hidden: "only_hidden",
        owned: "project_id",
    }
    page = report(cloud, file)
    assert undecided(page) == {}
    assert cloud.versions()[cell.uuid] == HEAD
    assert {died, nobody, rejected, owned} <= cloud.mapped_uuids(cell)
    assert {conflict, hidden} <= cloud.mapped_uuids(other)


def test_page_has_some_rows_and_the_number_of_all(
    cloud: Cloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "MOST", 2)
    cloud.add_cell("cell1").add_instances(3, project_id=None)

    page = report(cloud, file)

    assert len(undecided(page)) == 2
    assert "The first 2 of 3 rows are here." in page


def test_numbers_at_the_top_are_those_of_the_rows(cloud: Cloud, file: Path) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for name in NAMES:
        cell.add_kind(name, other)
    instances = len(cell.uuids()) + len(other.uuids())
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--cell", "cell2")

    page = report(cloud, file)

    # Not mapped are three of cell1, out of all but the hidden one and the placeholder.
    share = (instances - 2 - 3) / (instances - 2)
    assert tiles(page) == {
        # The cell of the unresolved instance has no database.
        "Cells in order": "1 of 3",
        "Instances": f"{instances}",
        "Mapped": f"{int(share * 1000) / 10:.1f} %",
        "Servers with 404": "1 4 before",
        "Rows to decide about": "3",
    }


def stamps(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the rows of the version table, in the order of the cells."""
    uuid = sa.column("cell_uuid", sa.String)
    table = sa.table("cellmap_version", uuid, sa.column("proved_at", sa.DateTime))
    with cloud.engine.connect() as connection:
        found = {row.cell_uuid: row for row in connection.execute(sa.select(table))}
    return [found[cell.uuid]._asdict() for cell in cloud.cells]


def test_upgraded_cloud_needs_nobody(cloud: Cloud, file: Path) -> None:
    for number in (1, 2):
        cloud.add_cell(f"cell{number}").add_instances(1_200)
    cellmap_inside(cloud, "upgrade", "--cell", "all")

    page = report(cloud, file)

    assert "All 2 cells are at the last revision." in page
    assert "1,200 mapped" in page
    assert tiles(page)["Mapped"] == "100 %"
    assert [row[2] for row in rows(page, "Cells")[1:]] == ["0003", "0003"]
    times = [f"{row['proved_at']:%d %b %Y %H:%M:%S}" for row in stamps(cloud)]
    assert [row[3] for row in rows(page, "Cells")[1:]] == times
    assert undecided(page) == {}


def test_without_a_comparison_the_journal_is_shown(cloud: Cloud, file: Path) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    # Only a comparison can find it.
    cloud.unmap(cell.uuids()[0])

    page = report(cloud, file, "--no-compare")

    assert tiles(page)["Instances"] == "30"
    assert tiles(page)["Rows to decide about"] == "-"
    assert "What an operator has to decide" not in page
    assert "They were not compared for this report." in page
    assert "30 mapped" in page


def test_cell_that_was_walked_in_part_has_no_share(cloud: Cloud, file: Path) -> None:
    cloud.add_cell("cell1").add_instances(30)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--max-rows", "10")

    page = report(cloud, file, "--no-compare")

    [row] = rows(page, "Runs of the last minute")[1:]
    assert row[0] == "cell1"
    assert re.fullmatch(r"\d:\d\d:\d\d", row[2])
    assert tiles(page)["Mapped"] == "-"


def test_cloud_without_cells(cloud: Cloud, file: Path) -> None:
    page = report(cloud, file)

    assert "There are no cells." in page
    assert "What an operator has to decide" not in page
    assert "Rows to decide about" not in tiles(page)


def test_cell_that_is_down_is_shown_and_the_others_are_compared(
    cloud: Cloud, file: Path
) -> None:
    up, down = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for cell in (up, down):
        cell.add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "all")
    rejected = up.add_instance(project_id=None)
    gone = down.url.set(database="/nonexistent/cell.db")
    cloud.lead(down, text(gone))

    page = report(cloud, file)

    assert undecided(page).keys() == {rejected}
    states = {row[0]: (row[2], row[-1]) for row in rows(page, "Cells")[1:]}
    assert states["cell2"][0] == "0003"
    assert states["cell2"][1] != "answers"
    assert "<dt>cell2</dt>" in page.partition(">Problems</h3>")[2]
    assert re.search(r"1 row waits for [^.]*\. 1 cell could not be compared", page)


def test_page_about_cells_that_are_all_down_does_not_say_that_nothing_waits(
    cloud: Cloud, file: Path
) -> None:
    cell = cloud.add_cell("cell1")
    cloud.lead(cell, text(cell.url.set(database="/nonexistent/cell.db")))

    page = report(cloud, file)

    assert tiles(page)["Rows to decide about"] == "-"
    assert "1 cell could not be compared" in page
    assert "No cell could be compared" in page
    assert "Nothing" not in page


def test_hostile_names_and_uuids_are_quoted(cloud: Cloud, file: Path) -> None:
    cell = cloud.add_cell("a'; DROP TABLE x <b>")
    cell.add_instance(uuid="'; DROP TABLE y; <b>", project_id=None)

    page = report(cloud, file)

    [(uuid, row)] = undecided(page).items()
    assert "<b>" not in page
    assert f"WHERE uuid = '{uuid.replace(chr(39), chr(39) * 2)}';" in row[-1]
    assert row[-1].endswith("""cellmap upgrade --cell 'a'"'"'; DROP TABLE x <b>'""")


@pytest.mark.only_on("mysql", "postgresql")
def test_select_is_enough_and_no_table_is_created(
    make_cloud: MakeCloud, file: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    server = cloud.server(cloud.url.get_backend_name())
    cloud.lead(cell, text(server.readonly(cell.url)))
    reader = text(server.readonly(cloud.url))
    cloud.configure(api_database={"connection": reader})

    page = report(cloud, file)

    assert rows(page, "What nova answers")[1] == ["cell1", "3", "3", "0"]
    assert re.search(r"<dt>(MariaDB|MySQL|PostgreSQL) \d+\.\d+.*?</dt>", page)
    assert cloud.our_tables() == set()
    assert cloud.mappings() == {}


def test_page_is_written_to_stdout_without_a_file(cloud: Cloud) -> None:
    cloud.add_cell("cell1")

    finished = cellmap_inside(cloud, "report")

    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith("<!DOCTYPE html>")
    assert finished.out.endswith("</html>\n")


def test_failed_report_leaves_the_old_page_and_nothing_else(
    cloud: Cloud, file: Path
) -> None:
    file.write_text("old")
    cloud.configure(api_database={"connection": "sqlite:////nonexistent/api.db"})
    cloud.configure(cellmap={"connect_timeout": 1})

    finished = cellmap_inside(cloud, "report", "-o", str(file))

    assert finished.code != 0
    assert file.read_text() == "old"
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize(
    "moment",
    [
        "before FROM cell_mappings #1",
        "before FROM instances #1",
        # The comparison has begun.
        "before count_1, coalesce( #1",
    ],
)
def test_signal_leaves_the_old_page_and_nothing_else(
    cloud: Cloud, file: Path, moment: str, number: Signals
) -> None:
    file.write_text("old")
    cloud.add_cell("cell1").add_instances(3)
    arguments = ("report", "-o", str(file))

    finished = cloud.start_cellmap_until(moment, number, *arguments).wait()

    assert (finished.code, finished.out) == (75, "")
    assert finished.err.startswith(f"error: stopped: {number.name} received; ")
    assert file.read_text() == "old"
    assert [*file.parent.iterdir()] == [file]


def test_link_to_a_page_stays_a_link(cloud: Cloud, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.html"
    link.symlink_to(file)

    report(cloud, link)

    assert link.is_symlink()
    assert file.read_text().startswith("<!DOCTYPE html>")
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("/nonexistent/report.html", 75, "the output could not be written: "),
        ("/dev/null", 78, "-o=/dev/null cannot be used: it is not a file"),
        ("/tmp", 78, "-o=/tmp cannot be used: it is not a file"),
    ],
)
def test_page_that_cannot_be_written_is_an_error_before_the_work(
    cloud: Cloud, name: str, code: int, said: str
) -> None:
    # The work would end with another error.
    cloud.configure(api_database={"connection": "no url"})

    finished = cellmap_inside(cloud, "report", "-o", name)

    assert finished.code == code
    assert re.fullmatch(f"error: {said}.*\n", finished.err), finished.err


def test_missing_extra_is_named(
    cloud: Cloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("page", "charts"):
        module = f"cellmap_migrations.output.html.{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "leather", None)

    finished = cellmap_inside(cloud, "report", "-o", str(file))

    assert finished.code == 78
    assert finished.err == (
        "error: cellmap report needs the Python package leather; install "
        "cellmap-migrations[report]\n"
    )
    assert not file.exists()


def test_pause_is_shown_with_its_reason(cloud: Cloud, file: Path) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    cloud.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    names = ("batch", "paused", "pause_reason")
    journal = sa.table("cellmap_journal", *map(sa.column, names))
    update = journal.update().where(journal.c.batch == 2)
    cloud.execute(update.values(paused=90, pause_reason="db2 lags"))

    page = report(cloud, file)

    assert "<title>paused for 90 s: db2 lags</title>" in page
    assert "0:01:30 db2 lags" in page
