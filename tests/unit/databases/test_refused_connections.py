"""A connection that another attempt cannot mend ends the run at the first attempt."""

import ssl
from collections.abc import Iterator
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from cellmap_migrations.databases import dialects
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.mariadb import MariaDB
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, last_line

ACCOUNT = "let an administrator of the server unlock this user"

HOST = "allow this user to log in from this host"

METHOD = "give this user an authentication method"

TLS = "correct the arguments of its URL that begin with ssl"

ARGUMENT = "correct that argument, or take it out"


@pytest.fixture
def attempts() -> Iterator[list[str]]:
    """Collect the user of each attempt to connect."""
    seen: list[str] = []

    def connect(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        seen.append(parameters.get("user", ""))

    sa.event.listen(sa.Engine, "do_connect", connect)
    yield seen
    sa.event.remove(sa.Engine, "do_connect", connect)


def execute(cloud: Cloud, *statements: str) -> None:
    """Run statements as the server's administrator."""
    backend = cloud.url.get_backend_name()
    with cloud.server(backend).admin().connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def reader(cloud: Cloud) -> sa.URL:
    """Return the URL of a new user of the API database."""
    return cloud.server(cloud.url.get_backend_name()).readonly(cloud.url)


def refused(cloud: Cloud, url: sa.URL, attempts: list[str]) -> tuple[int, str]:
    """Return exit code and error of a run whose API database is at *url*."""
    assert url.username
    cloud.configure(api_database={"connection": text(url)})

    attempts.clear()
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    # A wrong number is found before.
    assert attempts.count(url.username) <= 1, finished.err
    assert last_line(finished).startswith("error: API database (")
    return finished.code, last_line(finished)


NO_PLUGIN = (
    "UPDATE mysql.global_priv SET priv = JSON_SET(priv, '$.plugin', 'nosuch')"
    " WHERE user = '{name}'; FLUSH PRIVILEGES"
)

# Error 1130, or 1045 where any other account may log in from the host.
NOBODY = "DELETE FROM mysql.global_priv WHERE Host = CHAR(37); FLUSH PRIVILEGES"

# MySQL keeps its accounts in another table.
OF_MYSQL = {
    NO_PLUGIN: "UPDATE mysql.user SET plugin = 'nosuch' WHERE user = '{name}'; "
    "FLUSH PRIVILEGES",
    NOBODY: "DELETE FROM mysql.user WHERE Host = CHAR(37); FLUSH PRIVILEGES",
}

SOMEBODY = "CREATE USER IF NOT EXISTS somebody@'%%'"

MARIADB = {
    "locked": ("ALTER USER {user} ACCOUNT LOCK", {}, 77, ACCOUNT),
    "expired": ("ALTER USER {user} PASSWORD EXPIRE", {}, 77, ACCOUNT),
    "host": (NOBODY, {"bind_address": "127.0.0.2"}, 77, HOST),
    "host of others": (SOMEBODY, {"bind_address": "127.0.0.2"}, 77, HOST),
    "plugin": (NO_PLUGIN, {}, 78, METHOD),
    "TLS of the account": (
        "ALTER USER {user} REQUIRE SSL",
        {"ssl_disabled": "true"},
        77,
        "correct user or password",
    ),
    "TLS of the URL": ("", {"ssl_verify_cert": "true"}, 78, TLS),
    "SQL mode": ("", {"sql_mode": "NOSUCH"}, 78, ARGUMENT),
    "collation": ("", {"collation": "nosuch"}, 78, ARGUMENT),
    "collation of another charset": ("", {"collation": "latin1_bin"}, 78, ARGUMENT),
    "init_command": ("", {"init_command": "SET nosuch = 1"}, 78, ARGUMENT),
}


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("case", MARIADB)
def test_refusal_of_mariadb(
    make_cloud: MakeCloud, attempts: list[str], case: str
) -> None:
    statements, query, code, remedy = MARIADB[case]
    cloud = make_cloud()
    if not isinstance(cloud.server("mysql"), MariaDB):
        statements = OF_MYSQL.get(statements, statements)
    url = reader(cloud)
    user = f"`{url.username}`@'127.0.0.1'"
    named = statements.format(user=user, name=url.username)
    execute(cloud, *filter(None, named.split("; ")))

    ended = refused(cloud, url.update_query_dict(query), attempts)

    assert ended[0] == code, ended
    assert remedy in ended[1]
    assert str(url.username) in ended[1] or code == 78


@pytest.mark.only_on("mysql")
def test_expired_password_of_which_mariadb_refuses_the_login(
    make_cloud: MakeCloud, attempts: list[str]
) -> None:
    cloud = make_cloud()
    url = reader(cloud)
    execute(cloud, f"ALTER USER `{url.username}`@'127.0.0.1' PASSWORD EXPIRE")
    strict = "SET GLOBAL disconnect_on_expired_password = {}"
    # It is ON in MySQL, and cannot be changed there.
    variable = isinstance(cloud.server("mysql"), MariaDB)
    try:
        execute(cloud, *([strict.format("ON")] if variable else []))
        code, line = refused(cloud, url, attempts)
    finally:
        execute(cloud, *([strict.format("OFF")] if variable else []))

    assert code == 77
    assert ACCOUNT in line


POSTGRESQL = {
    "no LOGIN": ('ALTER ROLE "{name}" NOLOGIN', {}, 77, ACCOUNT),
    "no CONNECT": (
        'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC',
        {},
        77,
        "grant the missing privilege",
    ),
    "TLS of the URL": ("", {"sslmode": "require"}, 78, TLS),
    "encoding": ("", {"client_encoding": "nosuch"}, 78, ARGUMENT),
    "startup parameter": ("", {"options": "-c nosuch=1"}, 78, ARGUMENT),
    "value": ("", {"options": "-c work_mem=much"}, 78, ARGUMENT),
    "sslmode": ("", {"sslmode": "nosuch"}, 78, ARGUMENT),
    "argument of libpq": ("", {"nosuch": "1"}, 78, ARGUMENT),
    "number": ("", {"keepalives_idle": "long"}, 78, ARGUMENT),
    "channel binding": ("", {"channel_binding": "require"}, 78, METHOD),
    "method": ("", {"require_auth": "password"}, 78, METHOD),
}


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("case", POSTGRESQL)
def test_refusal_of_postgresql(
    make_cloud: MakeCloud, attempts: list[str], case: str
) -> None:
    statement, query, code, remedy = POSTGRESQL[case]
    cloud = make_cloud()
    url = reader(cloud)
    named = statement.format(name=url.username, database=url.database)
    execute(cloud, *filter(None, [named]))

    ended = refused(cloud, url.update_query_dict(query), attempts)

    assert ended[0] == code, ended
    assert remedy in ended[1]


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("rule", "code", "remedy"),
    [
        ("hostnossl all {name} all reject", 77, HOST),
        ("host all {name} all trust", 77, "correct user or password"),
    ],
    ids=["only with TLS", "role that is not there"],
)
def test_refusal_of_pg_hba(
    make_cloud: MakeCloud, attempts: list[str], rule: str, code: int, remedy: str
) -> None:
    cloud = make_cloud()
    server = cloud.server("postgresql")
    assert isinstance(server, PostgreSQL)
    url = reader(cloud)
    if "trust" in rule:
        url = url.set(username=f"no_{url.username}")
    hba = server.folder / "data" / "pg_hba.conf"
    rules = hba.read_text()
    hba.write_text(f"{rule.format(name=url.username)}\n{rules}")
    execute(cloud, "SELECT pg_reload_conf()")
    try:
        ended = refused(cloud, url, attempts)
    finally:
        hba.write_text(rules)
        execute(cloud, "SELECT pg_reload_conf()")

    assert ended[0] == code, ended
    assert remedy in ended[1]


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (1040, Fault.TRANSIENT),
        (1129, Fault.TRANSIENT),
        (1203, Fault.TRANSIENT),
        (1226, Fault.TRANSIENT),
        (3032, Fault.TRANSIENT),
        (3100, Fault.TRANSIENT),
        (3101, Fault.TRANSIENT),
        (3796, Fault.TRANSIENT),
        (6400, Fault.TRANSIENT),
        (3797, Fault.TRANSIENT),
        (1044, Fault.HIDDEN),
        (1045, Fault.LOGIN),
        (1130, Fault.HOST),
        (1524, Fault.METHOD),
        (1862, Fault.ACCOUNT),
        (2059, Fault.METHOD),
        (2061, Fault.METHOD),
        (3118, Fault.ACCOUNT),
        (3159, Fault.TLS),
        (3955, Fault.ACCOUNT),
        (4151, Fault.ACCOUNT),
        (1043, Fault.OTHER),
    ],
)
def test_number_of_mysql_means(number: int, fault: Fault) -> None:
    backend = dialects.of(sa.make_url("mysql+pymysql://"))

    assert backend.fault(pymysql.err.OperationalError(number, "")) is fault


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (ssl.SSLCertVerificationError("certificate verify failed"), Fault.TLS),
        (ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL]"), Fault.TLS),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), Fault.TRANSIENT),
        (ConnectionRefusedError(111, "Connection refused"), Fault.TRANSIENT),
    ],
    ids=["certificate", "protocol", "cut", "refused"],
)
def test_connection_that_tls_ends_before_the_login(
    cause: OSError, fault: Fault
) -> None:
    backend = dialects.of(sa.make_url("mysql+pymysql://"))
    error = pymysql.err.OperationalError(2003, f"Can't connect ({cause})")
    error.original_exception = cause  # type: ignore[attr-defined]

    assert backend.fault(error) is fault


HEAD = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '

WORDS = {
    "FATAL:  sorry, too many clients already": Fault.TRANSIENT,
    'FATAL:  too many connections for database "OAuth"': Fault.TRANSIENT,
    'FATAL:  too many connections for role "invalid value"': Fault.TRANSIENT,
    "FATAL:  the database system is starting up": Fault.TRANSIENT,
    "FATAL:  the database system is shutting down": Fault.TRANSIENT,
    "FATAL:  the database system is in recovery mode": Fault.TRANSIENT,
    'FATAL:  database "nova" is not currently accepting connections': Fault.TRANSIENT,
    "FATAL:  no more connections allowed (max_client_conn)": Fault.TRANSIENT,
    "FATAL:  query_wait_timeout": Fault.TRANSIENT,
    "FATAL:  server login has been failing, try again later": Fault.TRANSIENT,
    "SSL error: unexpected eof while reading": Fault.TRANSIENT,
    "SSL SYSCALL error: EOF detected": Fault.TRANSIENT,
    "server closed the connection unexpectedly": Fault.TRANSIENT,
    'could not translate host name "db" to address: Name or service not known': (
        Fault.TRANSIENT
    ),
    'FATAL:  no such database: "nova"': Fault.MISSING,
    'FATAL:  database "nova" does not exist': Fault.MISSING,
    'FATAL:  role "nova" does not exist': Fault.LOGIN,
    'FATAL:  password authentication failed for user "nova"': Fault.LOGIN,
    'FATAL:  Peer authentication failed for user "nova"': Fault.LOGIN,
    "fe_sendauth: no password supplied": Fault.LOGIN,
    "FATAL:  connection requires a valid client certificate": Fault.TLS,
    "SSL error: certificate verify failed": Fault.TLS,
    "SSL error: tlsv1 alert unknown ca": Fault.TLS,
    "SSL error: unsupported protocol": Fault.TLS,
    'server certificate for "db" does not match host name "x"': Fault.TLS,
    'root certificate file "/x" does not exist': Fault.TLS,
    'certificate present, but not private key file "/x"': Fault.TLS,
    "FATAL:  SSL required": Fault.TLS,
    'FATAL:  conversion between "EUC_TW" and "LATIN1" is not supported': (
        Fault.ARGUMENT
    ),
    "FATAL:  unsupported startup parameter: options": Fault.ARGUMENT,
}


@pytest.mark.parametrize("words", WORDS)
def test_words_of_postgresql_and_libpq_mean(words: str) -> None:
    backend = dialects.of(sa.make_url("postgresql+psycopg://"))

    assert backend.fault(psycopg.OperationalError(HEAD + words)) is WORDS[words]


URLS = {
    "charset": ({"charset": "utf-8"}, "charset=utf-8 is no character set of PyMySQL's"),
    "timeout": ({"read_timeout": "long"}, "read_timeout=long is no whole number"),
    "file": (
        {"ssl_ca": "/nonexistent/ca.pem"},
        "ssl_ca=/nonexistent/ca.pem cannot be read (No such file or directory)",
    ),
    "no certificate": (
        {"ssl_ca": __file__},
        f"there is no usable certificate or key in ssl_ca={__file__}",
    ),
}


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("case", URLS)
def test_argument_that_pymysql_refuses_is_named(
    make_cloud: MakeCloud, attempts: list[str], case: str
) -> None:
    query, words = URLS[case]
    cloud = make_cloud()

    code, line = refused(cloud, cloud.url.update_query_dict(query), attempts)

    assert code == 78
    assert f"its URL cannot be used: {words}" in line


def test_address_without_brackets_is_named(cloud: Cloud) -> None:
    base = "mysql+pymysql://nova:{}@[2001:db8::1]:3306/nova"
    cloud.configure(database={"connection": base.format("xyzzy")})
    template = "{scheme}://{username}:{password}@{hostname}:{port}/nova_cell1"
    lost = cloud.add_cell("lost", connection=template)
    cloud.configure(database={"connection": base.format("xyzzy")})

    finished = alembic_inside(cloud, "upgrade", "head", cell=lost.uuid)

    assert finished.code == 78
    assert "its host is an IPv6 address without brackets" in last_line(finished)


def test_local_cell_is_not_found_among_unusable_ones(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cloud.lead(cell, "mysql:nonsense")

    finished = alembic_inside(cloud, "upgrade", "head", cell="local")

    assert finished.code == 78
    assert f"cell cell1 ({cell.uuid}): " in last_line(finished)
    assert "its text is not a database URL" in last_line(finished)
