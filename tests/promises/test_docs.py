"""The pages of docs/ are found, and those about contrib/ know every exit code."""

import re
from pathlib import Path

import pytest

from cellmap_migrations.common.errors import SEVERITY
from tests.harness import contrib, readme

PAGES = sorted({*readme.DOCS.glob("*.rst")} - {readme.DOCS / "index.rst"})

# The others show README.rst, CONTRIBUTING.rst and CHANGES.rst on the site.
OWN = [page for page in PAGES if ".. include:: ../" not in page.read_text()]

# What calls a command has a page that says what it does with an exit code.
CALLERS = sorted(readme.DOCS / f"{part.name}.rst" for part in contrib.FOLDER.iterdir())


def test_index_has_every_page() -> None:
    assert sorted(readme.PAGES) == sorted([readme.README, *PAGES])


@pytest.mark.parametrize("page", CALLERS, ids=lambda page: page.stem)
def test_page_knows_every_exit_code(page: Path) -> None:
    explained = readme.table("code", page)

    codes = [int(code) for words in explained for code in re.findall(r"\d+", words)]
    assert set(SEVERITY) <= set(codes)
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.stem)
def test_readme_leads_to_the_page(page: Path) -> None:
    assert f"<docs/{page.name}>`_" in readme.README.read_text()
