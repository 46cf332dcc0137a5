"""One cloud for all tests of a module, through all that is done to it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cellmap_migrations.testing.servers import Server
from tests.harness.asking import Nova
from tests.harness.wheel import Installed, make_hostile
from tests.upgrade_job.cloud import JobCloud
from tests.upgrade_job.filling import fill
from tests.upgrade_job.story import Story
from tests.upgrade_job.ways import ways


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    found = Path(tempfile.mkdtemp(prefix="upgrade-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.fixture(scope="module")
def trace(folder: Path) -> Path:
    """Return the file that a hostile pyproject.toml of that folder would create."""
    return make_hostile(folder)


@pytest.fixture(scope="module")
def story(
    request: pytest.FixtureRequest,
    folder: Path,
    trace: Path,
    cellmap_server: Callable[[str], Server],
    installed: Installed,
) -> Iterator[Story]:
    """A cloud of the module's release of nova, and its copy, on MariaDB."""
    assert not trace.exists()
    with ExitStack() as stack:
        server = cellmap_server("mysql")
        nova = Nova(request.module.RELEASE)
        stack.callback(nova.close)
        cloud = JobCloud(folder, server, nova)
        stack.callback(cloud.close)
        servers = fill(cloud)
        control = JobCloud(folder, server, nova, template=cloud)
        stack.callback(control.close)
        yield Story(cloud, control, servers, ways(installed, folder))
