"""The pytest plugin works in a project that has the package installed."""

import re

import pytest

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.testing.schema import api_tables
from cellmap_migrations.testing.servers import NotInstalled
from cellmap_migrations.testing.servers.daemon import find
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.upgrading import map_cell, stopped

pytest_plugins = ["pytester"]

UNMAPPED = """
def test_cell(cellmap_cloud, assert_cell_mapped):
    cell = cellmap_cloud.add_cell("cell1")
    cell.add_instance(uuid="11111111-2222-4333-8444-555555555555", vm_state="paused")
    cellmap_cloud.map(cell.add_instance(), cell, user_id="somebody else")
    assert_cell_mapped(cell)
"""

DOWN = """
def test_cell(cellmap_cloud, assert_cell_mapped):
    assert_cell_mapped(cellmap_cloud.add_cell("cell1", connection=None))
"""

# Everything that the plugin could have got in the way of.
UNRELATED = """
import sys
import pytest

@pytest.fixture
def cloud():
    return "cirrus"

def test_cloud(cloud, pytestconfig):
    assert (cloud, pytestconfig.getoption("--backend")) == ("cirrus", "ours")
    loaded = pytestconfig.pluginmanager.get_plugin("cellmap")
    assert loaded.__name__ == "cellmap_migrations.testing.plugin"
    heavy = {"sqlalchemy", "alembic", "oslo_config", "cellmap_migrations.cell.cell"}
    assert heavy.isdisjoint(sys.modules)
"""

OPTION = """
def pytest_addoption(parser):
    parser.addoption("--backend", default="ours")
"""

WITHOUT_MIRAKURU = """
import sys
sys.modules["mirakuru"] = None
"""

BOTH = """
import pytest

@pytest.fixture(params=["sqlite", "postgresql"])
def cellmap_backend(request):
    return request.param

def test_cell(cellmap_cloud, cellmap_backend):
    cell = cellmap_cloud.add_cell("cell1")
    assert cell.add_instances(2) == cell.uuids()
    assert cell.engine.dialect.name == cellmap_backend
"""


def test_failure_shows_the_rows_that_differ(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(UNMAPPED)

    run = pytester.runpytest_subprocess()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            ">*assert_cell_mapped(cell)",
            "E*differs from its mappings: 1 unmapped, 1 user_id*",
            "E*unmapped: 1",
            "E*11111111-2222-4333-8444-555555555555",
            "E*instance *deleted=0 vm_state=paused *",
            "E*mapping   none",
            "E*user_id: 1",
            "E*mapping *user_id=somebody else *",
        ]
    )


def test_failure_names_what_kept_the_check_from_looking(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(DOWN)

    run = pytester.runpytest_subprocess()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        ["E*AssertionError: cell cell1 *database_connection is NULL*"]
    )


def test_project_that_does_not_use_the_plugin_does_not_notice_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(UNRELATED)
    pytester.makeconftest(OPTION)

    run = pytester.runpytest_subprocess("-W", "error", "--strict-config")

    run.assert_outcomes(passed=1)
    assert run.stderr.lines == []


def test_page_has_the_fixtures_that_pytest_shows(pytester: pytest.Pytester) -> None:
    run = pytester.runpytest_subprocess("--fixtures")

    where = r"^(\w+)(?: \[.*\])? -- .*cellmap_migrations/testing/plugin\.py"
    shown = re.findall(where, run.stdout.str(), re.MULTILINE)
    assert set(shown) == set(readme.table("fixture", readme.DOCS / "testing.rst"))


def test_missing_library_is_named_with_what_installs_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(UNMAPPED)
    pytester.makeconftest(WITHOUT_MIRAKURU)

    run = pytester.runpytest_subprocess("--cellmap-backend", "mysql")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(
        ["*no mysql server: *mirakuru*; pip install 'cellmap-migrations[[]testing]'"]
    )


def test_missing_program_is_named_with_what_installs_it() -> None:
    with pytest.raises(NotInstalled) as raised:
        find("no-such-server", package="some-server")

    assert str(raised.value) == (
        "no-such-server is not installed; on Debian: "
        "apt-get install --no-install-recommends some-server"
    )


def test_release_without_tables_is_named_with_those_that_have_some() -> None:
    with pytest.raises(ValueError, match=r"'icehouse'; .* liberty, rocky, stein, 34"):
        api_tables("icehouse")


def test_project_can_choose_its_databases_by_a_fixture(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(BOTH)

    run = pytester.runpytest_subprocess()

    run.assert_outcomes(passed=2)


def test_every_kind_of_instance_ends_as_it_is_called(cloud: Cloud) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for outcome in Outcome:
        cell.add_kind(outcome.value, other)

    ended = map_cell(cloud, cell)

    assert stopped(65, **dict.fromkeys((o.value for o in Outcome), 1)) == ended
