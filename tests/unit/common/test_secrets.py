"""Passwords in foreign text are masked."""

from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cellmap_migrations.common import secrets

# What a password may be; one letter alone is in any text.
passwords = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=6)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Know no password before and after a test."""
    secrets.KNOWN.clear()
    yield
    secrets.KNOWN.clear()


def spellings(password: str) -> list[str]:
    """Return how a driver, a traceback or a URL may show a password."""
    return [password, quote(password, safe=""), quote_plus(password), repr(password)]


@settings(deadline=None)
@given(password=passwords)
@example(password="000%00")
def test_remembered_password_is_masked_in_every_spelling(password: str) -> None:
    secrets.KNOWN.clear()
    secrets.remember(password)

    for spelling in spellings(password):
        line = secrets.mask_line(f"Access denied <{spelling}> for nova")
        assert line.startswith("Access denied <")
        assert spelling.strip("'\"") not in line


@pytest.mark.parametrize(
    "text",
    [
        "mysql+pymysql://nova:hunter2@db/nova",
        "mysql+pymysql://nova:hunter2@db1,nova:hunter2@db2/nova",
        "could not parse 'postgresql://nova:hunter2@db'",
        "mysql://nova:hunter2:x@y@db/nova",
        "mysql://:hunter2@db",
        "mysql://nova:hunter2?x=1&y@db/nova",
    ],
)
def test_password_of_an_unknown_url_is_masked(text: str) -> None:
    assert "hunter2" not in secrets.mask(text)
    assert "***" in secrets.mask(text)


@settings(deadline=None)
@given(text=st.text())
def test_mask_is_one_line(text: str) -> None:
    assert len(secrets.mask(text).splitlines()) <= 1


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="@?", codec="utf-8")))
def test_text_without_a_secret_keeps_its_words(text: str) -> None:
    secrets.KNOWN.clear()

    assert text.split() == secrets.mask(text).split()


def test_nothing_is_left_of_a_password_that_begins_with_another_one() -> None:
    secrets.remember("hunter")
    secrets.remember("hunter2plugh")

    assert secrets.mask("refused: hunter2plugh, hunter") == "refused: ***, ***"


def test_password_of_one_letter_is_masked_as_a_word_only() -> None:
    secrets.remember("a")

    denied = "Access denied for nova (using password: {})"
    assert secrets.mask(denied.format("a")) == denied.format("***")


def test_argument_of_an_unknown_url_is_masked() -> None:
    shown = "/nova?{}=***&charset=utf8"

    for name in secrets.ARGUMENTS:
        masked = secrets.mask(f"/nova?{name}=hunter2&charset=utf8")
        assert masked == shown.format(name)


@pytest.mark.parametrize("secret", ["p+assword=hunter2", "password=?x=1&hunter2"])
def test_argument_that_does_not_look_like_a_secret_is_not_shown(secret: str) -> None:
    said = f"Invalid SQLite URL: sqlite://db/nova?mode=rw&{secret}"

    assert secrets.without_value(said) == "Invalid SQLite URL: ***"


def test_nothing_is_left_of_a_password_that_looks_like_arguments() -> None:
    secrets.remember("hun?ter=2")

    assert secrets.mask("mysql://nova:plugh?password=x@db") == "mysql://***"
    assert secrets.mask("/srv/mysql:/nova:hun?ter=2") == "/srv/mysql:/nova:***"


def test_question_before_a_url_is_no_beginning_of_its_arguments() -> None:
    text = "is it attempts=10? see mysql://db/nova for rows=5"

    assert secrets.mask(text) == text


def test_empty_password_masks_nothing() -> None:
    secrets.remember("")
    secrets.remember(None)

    assert secrets.mask("nothing to hide") == "nothing to hide"


@pytest.mark.parametrize(
    "given",
    [
        "/srv/:/nova:hunter2@db",
        "mssql+pyodbc: //nova:hunter2@db",
        "MySQL:/[/nova:hunter2@db",
        "oracle;//nova@domain:hunter2@db/nova?charset=utf8",
        "/srv/mysql:/db/nova?pass word=hunter2",
        "/srv/mysql:/nova:hunter2?x=1&y@db/nova",
        "/srv/mysql:/db/nova?pass word=x@hunter2",
    ],
)
def test_value_that_may_be_a_url_is_not_shown(given: str) -> None:
    assert secrets.shown(given) == "***"


@pytest.mark.parametrize(
    "given", ["/etc/nova/nova.conf", "Cell1", "' OR 1=1 --", "10.0.0.1:3306", "", 5]
)
def test_value_that_cannot_be_a_url_is_shown(given: object) -> None:
    assert secrets.shown(given) == str(given)
