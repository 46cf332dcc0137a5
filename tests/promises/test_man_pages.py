"""The man pages in docs/man have the commands and options that the programs parse."""

import argparse
import re
from collections.abc import Callable
from typing import Any

import pytest

from cellmap_migrations.cli import main, upgrade_check
from cellmap_migrations.config.options import OPTIONS
from tests.harness import readme
from tests.harness.wheel import Installed

MAN = readme.DOCS / "man"

OLD = "out of date: run make docs"

PROGRAMS: dict[str, Callable[[Any], None]] = {
    "cellmap": main.add_commands,
    "cellmap-status": upgrade_check.add_commands,
}


def plain(page: str) -> str:
    """Return the text of a man page, without macros, fonts and quotes of any kind."""
    text = re.sub(r"\\f[A-Z]|\\&|\\%|\\:", "", page)
    text = text.replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\e", "\\")
    return flat(re.sub(r"^\.\w*", "", text, flags=re.MULTILINE))


def flat(text: str) -> str:
    """Return *text* on one line, without quotes."""
    return " ".join(re.sub("[<>`'\"\u2018-\u201d{}]", "", text).split())


def commands(program: str) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command of *program*."""
    parser = argparse.ArgumentParser(prog=program)
    added = parser.add_subparsers()
    PROGRAMS[program](added)
    return dict(added.choices)


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a command."""
    return {name for action in parser._actions for name in action.option_strings}


def parts(program: str) -> dict[str, str]:
    """Return the text about each command in the man page of *program*."""
    page = (MAN / f"{program}.1").read_text().replace(r"\-", "-")
    found: dict[str, str] = {}
    # The headings: `.SS cellmap upgrade`, `.SS cellmap upgrade options`.
    _, *rest = re.split(r"^\.S[HS] (.+)\n", page, flags=re.MULTILINE)
    for heading, part in zip(rest[::2], rest[1::2], strict=True):
        if heading.startswith(f"{program} "):
            command = heading.split()[1]
            text = plain(part).partition("Example: ")[0]
            found[command] = f"{found.get(command, '')} {text}"
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_page_has_each_option_of_each_command_and_no_other(program: str) -> None:
    parsers = commands(program)

    shown = {name: known(parts(program)[name]) for name in parsers}

    assert shown == {name: options(parser) for name, parser in parsers.items()}, OLD
    assert {*parts(program)} - {*parsers} == {"options"}, OLD


def known(text: str) -> set[str]:
    """Return the options that *text* names."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


@pytest.mark.parametrize("program", PROGRAMS)
def test_page_has_what_each_option_means(program: str) -> None:
    page = plain((MAN / f"{program}.1").read_text())
    helps = [
        flat(action.help)
        for parser in commands(program).values()
        for action in parser._actions
        if action.help
    ]

    assert [text for text in helps if text not in page] == [], OLD


def test_page_has_the_options_of_nova_conf() -> None:
    page = plain((MAN / "cellmap.1").read_text())

    assert [each.dest for each in OPTIONS if flat(each.help or "") not in page] == [], (
        OLD
    )


def test_wheel_installs_the_pages(installed: Installed) -> None:
    folder = installed.bin.parent / "share" / "man" / "man1"

    assert {page.name for page in folder.iterdir()} == {f"{p}.1" for p in PROGRAMS}
