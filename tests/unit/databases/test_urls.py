"""URL templates expand by nova's rules, except where nova goes on with nonsense."""

import string
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmap_migrations.common import secrets
from cellmap_migrations.databases.urls import identity, parse, remember_passwords
from cellmap_migrations.nova.templates import expand

BASE = "mysql+pymysql://Nova:s3%40kret@DB.example:3307/nova?charset=utf8#part"

BARE = "mysql+pymysql://db/nova"

MANY = "mysql+pymysql://u:p@h1:5432,h2:5432/nova"

CASES = [
    pytest.param(BASE, "{scheme}://{hostname}/x", "mysql+pymysql://db.example/x"),
    pytest.param(BASE, "{username}:{password}", "Nova:s3%40kret", id="kept encoded"),
    pytest.param(BASE, "{port}/{path}?{query}", "3307/nova?charset=utf8", id="rest"),
    pytest.param(BASE, "#{fragment}", "#part", id="fragment"),
    pytest.param(BASE, "/{path}_cell1", "/nova_cell1", id="suffix"),
    pytest.param(BASE, "{username!r}", "'Nova'", id="conversion"),
    pytest.param(BASE, "{port:>6}", "  3307", id="format"),
    pytest.param(BASE, "{port:>999}", f"{3307:>999}", id="width of three digits"),
    pytest.param(BASE, "p{{x}}", "p{x}", id="doubled braces, no variable"),
    pytest.param(BASE, "p{x", "p{x", id="open brace"),
    pytest.param(BASE, "p}x", "p}x", id="closing brace"),
    pytest.param(BASE, "{nosuch}", "{nosuch}", id="unknown variable"),
    pytest.param(BASE, "{0}", "{0}", id="number"),
    pytest.param(BASE, "{}", "{}", id="empty variable"),
    pytest.param(BASE, "sqlite:////x", "sqlite:////x", id="no template"),
    pytest.param(None, "sqlite:////x", "sqlite:////x", id="no base, no template"),
    pytest.param(None, "p{{x}}", "p{{x}}", id="no base, doubled braces"),
    pytest.param(
        "mysql://u:p@[::1]/n", "[{hostname}]", "[::1]", id="IPv6 without brackets"
    ),
    pytest.param(
        "sqlite:////var/x", "sqlite:////{path}", "sqlite:////var/x", id="file"
    ),
    pytest.param(
        "mysql://u1:p1@h1,u2@h2/n", "{username1}{hostname2}", "u1h2", id="two hosts"
    ),
]

REFUSED = [
    pytest.param(None, "{scheme}://x", "is not set", id="no base"),
    pytest.param(BARE, "{hostname}:{port}", "{port}", id="no port"),
    pytest.param(BARE, "{username}@", "{username}", id="no user"),
    pytest.param(BARE, "{password}", "{password}", id="no password"),
    pytest.param("", "{hostname}", "{hostname}", id="empty base"),
    pytest.param("no url", "{hostname}", "{hostname}", id="base is no URL"),
    pytest.param(BARE, "{hostname2}", "cannot fill", id="one host"),
    pytest.param(MANY, "{port}", "cannot fill", id="ports of several hosts"),
    pytest.param(BASE, "{path}{", "cannot fill", id="unbalanced"),
    pytest.param(BASE, "{path.nosuch}", "cannot fill", id="attribute"),
    pytest.param(BASE, "{scheme:>99999999999}", "asks for more", id="width"),
    pytest.param(BASE, "{scheme:>1000}", "asks for more", id="width of four digits"),
    pytest.param(BASE, "{port:>{port}{port}}", "asks for more", id="own width"),
    pytest.param(BASE, "{port:>99999999999}}", "asks for more", id="width, then error"),
]


@pytest.mark.parametrize(("base", "stored", "expected"), CASES)
def test_template_expands_as_nova_does_it(
    base: str | None, stored: str, expected: str
) -> None:
    assert expected == expand(stored, base)


@pytest.mark.parametrize(("base", "stored", "why"), REFUSED)
def test_template_that_nova_would_turn_into_nonsense_is_refused(
    base: str | None, stored: str, why: str
) -> None:
    with pytest.raises(ValueError, match=r"template|asks for") as refusal:
        expand(stored, base)

    assert why in str(refusal.value)


names = st.text(string.ascii_letters + string.digits + "-_.~%", min_size=1)

hosts = st.text(string.ascii_lowercase + string.digits, min_size=1)

TEMPLATE = "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"

BASES = st.builds(
    "mysql+pymysql://{}:{}@{}:{}/{}?{}".format,
    *(names, names, hosts, st.integers(1, 65535), hosts, names),
)


@settings(deadline=None)
@given(base=BASES)
def test_template_of_all_parts_is_the_base_again(base: str) -> None:
    assert base == expand(TEMPLATE, base)


@settings(deadline=None)
@given(stored=st.text(st.characters(exclude_characters="{}")))
def test_text_without_braces_is_left_as_it_is(stored: str) -> None:
    assert stored == expand(stored, BASE)


@settings(deadline=None)
@given(stored=st.text("{}!:.abport[]0", max_size=12))
def test_any_text_expands_or_is_refused(stored: str) -> None:
    result = ""
    with suppress(ValueError):
        result = expand(stored, BASE)

    assert isinstance(result, str)


SAME = [
    ("mysql+pymysql://u:p@db/nova", "mysql+mysqldb://root@DB:3306/nova?charset=utf8"),
    ("postgresql://u@db/nova", "postgresql+psycopg://u:p@db:5432/nova"),
    ("postgresql://x:9/nova?host=db&port=5432", "postgresql://db/nova"),
    ("mysql+pymysql://localhost/n", "mysql+pymysql://127.0.0.1:3306/n"),
    ("mysql+pymysql://db/n", "mariadb+pymysql://db/n"),
    ("sqlite:////tmp/a/../x.db", "sqlite:////tmp/x.db"),
    ("sqlite:////tmp/x.db", "sqlite:///file:/tmp/x.db?uri=true&mode=ro"),
]

DIFFERENT = [
    ("mysql+pymysql://db/nova", "mysql+pymysql://db/nova_cell0"),
    ("mysql+pymysql://db/nova", "mysql+pymysql://db:3307/nova"),
    ("mysql+pymysql://db1/nova", "mysql+pymysql://db2/nova"),
    ("postgresql://db/nova?port=5432", "postgresql://db/nova?port=5433"),
    ("mysql+pymysql:///n?unix_socket=/a", "mysql+pymysql:///n?unix_socket=/b"),
    ("sqlite:////tmp/x.db", "sqlite:////tmp/y.db"),
]


def where(text: str) -> tuple[str, ...]:
    return identity(parse(text, "a test")[0])


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_are_one_database(one: str, other: str) -> None:
    assert where(one) == where(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_databases_are_told_apart(one: str, other: str) -> None:
    assert where(one) != where(other)


def test_every_password_of_a_url_is_masked_as_it_is_written_and_decoded() -> None:
    secrets.KNOWN.clear()

    remember_passwords("postgresql://nova:xy%40zzy@db/nova?sslpassword=pl%20ugh")

    said = "no: xy%40zzy, xy@zzy, pl%20ugh, pl ugh, pl+ugh"
    assert secrets.mask(said) == "no: ***, ***, ***, ***, ***"
