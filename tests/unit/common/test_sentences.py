"""Each error that is raised gives its sentence a value for each pair of braces."""

import ast
from functools import partial
from pathlib import Path
from string import Formatter

import pytest

import cellmap_migrations
from cellmap_migrations.common import sentences
from cellmap_migrations.databases.database import FAULTS

SENTENCES = {
    name: found.args[0]
    for name, found in vars(sentences).items()
    if isinstance(found, partial)
}

ROOT = Path(cellmap_migrations.__file__).parent

CALLS = [
    (name.id, {keyword.arg for keyword in call.keywords})
    for path in ROOT.rglob("*.py")
    for call in ast.walk(ast.parse(path.read_text()))
    if isinstance(call, ast.Call)
    for name in ast.walk(call.func)
    if isinstance(name, ast.Name) and name.id in SENTENCES
]

# The driver's errors, which one line raises.
FROM_DRIVERS = {
    name for name in SENTENCES if getattr(sentences, name) in FAULTS.values()
}


def fields(sentence: str) -> set[str]:
    """Return the names in the braces of a sentence."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence_is_raised_with_exactly_its_values(name: str) -> None:
    given = [values for called, values in CALLS if called == name]
    given += [{"what", "message"}] * (name in FROM_DRIVERS)

    assert given != []
    assert [each for each in given if each != fields(SENTENCES[name])] == []
