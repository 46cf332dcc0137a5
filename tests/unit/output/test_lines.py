"""Plain rows go from one database to the other as lines of text, odd ones do not."""

import pytest

from cellmap_migrations.copying import pages
from cellmap_migrations.databases import mysql_limits
from cellmap_migrations.testing.rows import CELL0
from tests.conftest import MakeCloud
from tests.harness.inside import alembic_inside, opened
from tests.harness.plans import plan_of
from tests.harness.upgrading import complete, map_cell

# Whatever SQL, a line, or a driver's formatting of one could take for something else.
ODD = [
    "it's",
    "back\\slash",
    "\\N",
    'double "quote"',
    "100%s",
    "%(name)s",
    "tab\there",
    "new\nline",
    "return\rhere",
    "x',1),('y",
    "{brace}",
    "$1",
    "NULL",
    "naïve",
    "項目",
    "",
    " spaces at the ends ",
]


def test_every_value_arrives_as_it_is(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    expected = {}
    for text in ODD:
        uuid = cell.add_instance(project_id=text, user_id=text)
        expected[uuid] = (text, text)
    plain = cell.add_instances(50, project_id="plain", user_id="plain")
    expected |= dict.fromkeys(plain, ("plain", "plain"))

    ended = map_cell(cloud, cell)

    found = {
        uuid: (row.project_id, row.user_id) for uuid, row in cloud.mappings().items()
    }
    assert complete(mapped=len(expected)) == ended
    assert expected == found


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("logged", [False, True])
def test_values_arrive_where_the_server_reads_statements_in_another_way(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch, *, logged: bool
) -> None:
    monkeypatch.setattr(mysql_limits.Limits, "logs_statements", lambda _: logged)
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    expected = {cell.add_instance(project_id=text): text for text in ODD}
    change = "SET GLOBAL sql_mode = %(modes)s"

    with cloud.server("mysql").admin().connect() as connection:
        before = connection.exec_driver_sql("SELECT @@GLOBAL.sql_mode").scalar_one()
        modes = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"
        connection.exec_driver_sql(change, {"modes": modes})
        try:
            ended = alembic_inside(cloud, "upgrade", "head", cell="cell1")
        finally:
            connection.exec_driver_sql(change, {"modes": before})

    found = {uuid: row.project_id for uuid, row in cloud.mappings().items()}
    assert (ended.code, ended.err) == (0, "")
    assert expected == found


def test_value_that_looks_like_the_end_of_a_line_and_another_one_is_a_value(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    stranger = "11111111-2222-4333-8444-555555555555"
    text = f"p\tu\t0\t2015-01-01 00:00:00\n{stranger}\tq"
    uuid = cell.add_instance(project_id=text)
    plain = cell.add_instances(3)
    # Counted with the lines, it would make up for the one too many.
    cell.add_instance(project_id=None)

    ended = map_cell(cloud, cell, on_reject="skip")

    found = cloud.mappings()
    assert complete(mapped=4, rejected=1) == ended
    assert found.keys() == {uuid, *plain}
    assert found[uuid].project_id == text


def test_odd_value_in_each_batch_stops_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    for text in ODD:
        cell.add_instances(2)
        cell.add_instance(project_id=text, user_id=text)

    ended = map_cell(cloud, cell, batch_rows_min="3", batch_rows_max="3")

    assert complete(mapped=3 * len(ODD)) == ended


def test_plain_rows_are_lines_and_the_rest_are_instances(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    plain = [*cell.add_instances(3), cell.add_instance(deleted=True)]
    rest = [
        *cell.add_instances(1, hidden=True),
        *cell.add_instances(1, project_id=None),
        *cell.add_instances(1, user_id=None),
        *cell.add_instances(1, created_at=None),
        cell.add_instance(uuid=CELL0, deleted=True),
    ]

    with opened(cloud, cell) as inside:
        page = pages.read_page(inside.database, plan_of(inside), 0, bound=100, rows=50)

    lines = page.lines.split("\n")
    assert sorted(plain) == sorted(line.split("\t")[0] for line in lines)
    assert rest == [instance.uuid for instance in page.rest]
    assert (page.rows, page.plain, page.upto_id) == (9, 4, 100)


def test_page_ends_with_its_last_row(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    ids = [row["id"] for row in map(cell.row, cell.add_instances(5)) if row]

    with opened(cloud, cell) as inside:
        page = pages.read_page(
            inside.database, plan_of(inside), ids[0], bound=100, rows=2
        )

    assert (ids[2], 2, 2) == (page.upto_id, page.rows, page.plain)


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize(
    "missing",
    [1, 4, 1_000],
    ids=["the last line's end", "a part of the last field", "several lines"],
)
def test_text_that_the_server_cut_off_is_not_used(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20)

    with opened(cloud, cell) as inside:
        plan = plan_of(inside)
        whole = pages.read_page(inside.database, plan, 0, bound=100, rows=50)
        # With the end of the last line.
        length = len(whole.lines) + 1 - missing

        longest = {**mysql_limits.LIMITS, "group_concat_max_len": str(length)}
        monkeypatch.setattr(mysql_limits, "LIMITS", longest)
        page = pages.read_page(inside.database, plan, 0, bound=100, rows=50)

    assert whole.plain == 20
    assert (page.lines, page.plain, len(page.rest)) == ("", 0, 20)
