"""Make hostile input from the pieces that matter to its readers."""

from urllib.parse import quote

from hypothesis import strategies as st

from cellmap_migrations.config.options import OPTIONS
from cellmap_migrations.config.settings import FILE_OPTIONS, RUN_OPTIONS
from cellmap_migrations.databases.arguments import MYSQL, POSTGRESQL, SQLITE
from cellmap_migrations.testing.servers import SECRETS as SECRETS_OF_SERVERS

# In every password, and never in what is printed.
SECRET = "hUnTeR2pLuGh"

# For a terminal, a URL, a template, a file, and whoever reads a number.
PIECES = [
    *("", " ", "\n", "\r", "\t", "\0", "\x1b[2J\x1b]0;x\x07", "\x85", "\u2028"),
    *("\u202e", "\ud800", "é", "項目", "%", "%00", "%0a", "%ZZ", "%25", "%1b[31m"),
    *("@", ":", "/", "//", "?", "#", "&", "=", ";", ",", "\\", "'", '"', "[", "]"),
    *("{", "}", "{}", "{0}", "{{x}}", "{nosuch}", "{scheme}", "{username}", "{query}"),
    *("{password}", "{password!r}", "{password[0]}", "{hostname2}", "{port:>9}"),
    *("{scheme:>999999999999}", "{scheme:>{port}{port}}", "{path.__class__}"),
    *("$", "$$", "$x", "${api_database.connection}", "${x", "[bold]", "[/x]", "../"),
    *("~", "file:", "://", "-", "--", "a" * 3_000, "9" * 5_000, "all", "local"),
]

NUMBERS = ["0", "-1", "1", "65536", "1e999", "nan", "inf", "-inf", "0x10", "1_0"]

NUMBERS += ["true", "None", "1.5", " 5 ", "9" * 30, "\u0661"]

REFUSED = ["init_command", "local_infile", "read_default_file", "read_default_group"]

REFUSED += ["plugin", "creator", "conv", "cursorclass", "auth_plugin_map", "db", "vfs"]

REFUSED += ["service", "passfile", "options", "conninfo", "sslkeylogfile", "cache"]

REFUSED += ["compress", "user", "dbname", "defer_connect", "client_flag"]

SECRETS = ["password", "passwd", "sslpassword", "ssl_key_password", "scram_client_key"]

DRIVERS = ["mysql", "mysql+pymysql", "mysql+mysqldb", "mariadb+pymysql", "mysql+nosuch"]

DRIVERS += ["postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgres", ""]

DRIVERS += ["sqlite", "sqlite+aiosqlite", "oracle", "MySQL", "mssql+pyodbc", "{scheme}"]

# Nothing listens there, and no name is looked up.
HOSTS = ["127.0.0.1", "[::1]", "localhost", "[::1", "::1", "", "{hostname}", "..", "[]"]

HOSTS += ["127.0.0.1:1,127.0.0.1:1", "127.0.0.1,127.0.0.1", "[::1%lo]", "127.0.0.1\0"]

PATHS = ["", "nova", "/etc/passwd", "/dev/null", "/", ".", "/proc/self/mem", ":memory:"]

PATHS += ["file:/nonexistent/x", "file:/etc/passwd#", "/nonexistent/" + "x/" * 2_000]


def innocent(text: str) -> bool:
    """Say whether no secret is in *text*: hypothesis takes words from the sources."""
    return not any(secret in text for secret in (SECRET, *SECRETS_OF_SERVERS))


pieces = st.sampled_from(PIECES)

odd = st.lists(pieces, max_size=4).map("".join) | st.text(max_size=8).filter(innocent)

numbers = st.sampled_from(NUMBERS) | st.integers().map(str)

begins = st.sampled_from(["", "p", "p@", "a/b:", "é€", "%25", "{x", "?x=1&"])

passwords = begins.map(lambda begin: begin + SECRET)

passwords |= passwords.map(lambda password: quote(password, safe=""))


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """Return the part of a URL after the question mark."""
    known = st.sampled_from([*MYSQL, *POSTGRESQL, *SQLITE, *REFUSED])
    values = numbers | odd | st.sampled_from(PATHS)
    public = st.tuples(known | odd, values)
    private = st.tuples(st.sampled_from(SECRETS), passwords)
    pairs = draw(st.lists(public | private, max_size=3))
    return "&".join(f"{name}={value}" for name, value in pairs)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Return what may pass for a URL, with a password in it most of the time."""
    user = draw(st.sampled_from(["nova", "nova@domain", "{username}", ""]))
    host, path = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(PATHS))
    port = draw(st.sampled_from(["", ":1"]) | numbers.map(":{}".format))
    login = draw(st.just("") | passwords.map(lambda password: f"{user}:{password}@"))
    more = draw(st.just("") | arguments().map(lambda pairs: f"?{pairs}"))
    url = f"{draw(st.sampled_from(DRIVERS))}://{login}{host}{port}/{path}{more}"
    at = draw(st.none() | st.integers(0, len(url)))
    return url if at is None else url[:at] + draw(pieces) + url[at:]


def encodable(text: str) -> bool:
    """Say whether a database takes *text*."""
    return "\ud800" not in text


# As SQLite keeps them, whatever type a column has.
sound = st.text(st.characters(codec="utf-8"), max_size=9).filter(innocent)

stored = st.sampled_from(["cell1", "x" * 500]) | odd.filter(encodable) | sound

blobs = st.binary(max_size=8)

rows = st.fixed_dictionaries(
    {
        "uuid": st.uuids().map(str) | st.uuids().map(lambda uuid: uuid.hex) | stored,
        "name": st.none() | stored | blobs | st.uuids().map(str) | st.integers(-9, 9),
        "connection": st.none()
        | blobs
        | urls().filter(lambda url: "\ud800" not in url),
    }
)

names = st.sampled_from([option.dest for option in OPTIONS])

names |= st.sampled_from([*RUN_OPTIONS, *FILE_OPTIONS]) | odd

pairs = st.tuples(names, numbers | odd | urls() | st.sampled_from(PATHS))

# What begins with a dash is argparse's to refuse.
given = (pairs.map("=".join) | odd | urls()).filter(lambda text: text[:1] != "-")

x_values = st.lists(given, max_size=4)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Return what may pass for a nova.conf."""
    addresses = urls().map(lambda url: f"connection = {url}")
    options = st.tuples(names, numbers | odd).map(" = ".join)
    groups = {"api_database": addresses, "database": addresses, "cellmap": options}
    lines = []
    for group in draw(st.lists(st.sampled_from(list(groups)), max_size=3)):
        lines += [f"[{group}]", draw(groups[group]), *draw(st.lists(odd, max_size=1))]
    return "\n".join(lines).encode(errors="surrogatepass")


confs = files() | st.binary(max_size=50)
