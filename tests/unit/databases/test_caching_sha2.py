"""MySQL's default authentication, without TLS and with an empty cache on the server."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from pymysql import _auth

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.base import PASSWORD
from tests.conftest import MakeCloud
from tests.harness.caching_sha2 import PLUGIN, CachingSha2
from tests.harness.cloud import ROOT, Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line

pytestmark = pytest.mark.only_on("mysql")

READING = {
    "check --cell cell1": 3,
    "status": 0,
    "upgrade --cell cell1 --dry-run": 0,
    "repair --cell cell1 --dry-run": 0,
}


@pytest.fixture
def plugin() -> bytes:
    """The authentication plugin of the account."""
    return PLUGIN


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """A cloud with a cell."""
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()
    return cloud


@pytest.fixture
def proxy(cloud: Cloud, plugin: bytes) -> Iterator[CachingSha2]:
    """Lead the cloud's commands through a server that asks for this login."""
    assert cloud.url.port
    with closing(CachingSha2(cloud.url.port, 8, plugin)) as proxy:
        through = text(cloud.url.set(port=proxy.port))
        cloud.configure(api_database={"connection": through})
        yield proxy


def test_password_is_sent_encrypted_with_the_key_of_the_server(
    cloud: Cloud, proxy: CachingSha2
) -> None:
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (finished.code, finished.err) == (0, "")
    assert set(proxy.passwords) == {PASSWORD.encode() + b"\0"}
    assert cloud.cells[0].uuids() == list(cloud.mappings())


def test_package_for_it_is_named_where_it_is_missing(
    cloud: Cloud, proxy: CachingSha2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert finished.code == 78
    assert proxy.passwords == []
    assert last_line(finished).endswith(
        "user nova needs the Python package cryptography to log in without TLS; "
        "install PyMySQL[rsa]"
    )


@pytest.mark.parametrize("plugin", [b"authentication_nosuch_client"])
@pytest.mark.usefixtures("proxy")
def test_plugin_that_pymysql_lacks_ends_the_run(cloud: Cloud, plugin: bytes) -> None:
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert finished.code == 78
    assert plugin.decode() in last_line(finished)
    assert "give this user an authentication method" in last_line(finished)


@pytest.mark.only_on("mysql9")
@pytest.mark.parametrize("tls", [False, True], ids=["without TLS", "with TLS"])
def test_user_who_may_only_read_logs_in_while_the_cache_is_empty(
    cloud: Cloud, backend: str, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    del backend
    server = cloud.server("mysql")
    # The certificate that MySQL makes for itself names no host.
    authority = {
        "ssl_ca": str(server.folder / "data" / "ca.pem"),
        "ssl_check_hostname": "false",
    }
    arguments = authority if tls else {"ssl_disabled": "true"}
    api, cell = (
        server.readonly(url).update_query_dict(arguments)
        for url in (cloud.url, cloud.cells[0].url)
    )
    cloud.configure(
        api_database={"connection": text(api)}, database={"connection": text(cell)}
    )
    cloud.lead(cloud.cells[0], text(cell))
    encrypted: list[bytes] = []
    encrypt = _auth.sha2_rsa_encrypt

    def spy(password: bytes, salt: bytes, key: bytes) -> bytes:
        encrypted.append(password)
        return bytes(encrypt(password, salt, key))

    monkeypatch.setattr(_auth, "sha2_rsa_encrypt", spy)
    ended = {}
    for command in READING:
        # It empties the cache.
        with server.admin().connect() as connection:
            connection.exec_driver_sql("FLUSH PRIVILEGES")
        ended[command] = cellmap_inside(cloud, *command.split())

    assert {name: each.code for name, each in ended.items()} == READING, ended
    assert bool(encrypted) is not tls


def test_package_for_it_is_installed_with_this_one() -> None:
    assert '"PyMySQL[rsa]>=' in (ROOT / "pyproject.toml").read_text()
