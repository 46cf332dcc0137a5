"""How Sphinx builds the pages of this folder as a web site and as man pages."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util import logging

if TYPE_CHECKING:
    from pathlib import Path

    from sphinx.application import Sphinx

project = "cellmap-migrations"
version = release = metadata.version(project)
exclude_patterns = ["_build", "man"]
extensions = [
    # The options of [cellmap], as they are registered.
    "oslo_config.sphinxext",
    # The commands, as the programs parse them.
    "sphinx_argparse_cli",
]

# Both programs have --help.
sphinx_argparse_cli_prefix_document = True

# Else Sphinx colours the usage of a command as Python.
highlight_language = "none"

# A shell does not know typographic quotes, and the help of commands has examples.
smartquotes = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

man_pages = [
    ("cellmap", "cellmap", "map the instances of nova's cells", "", 1),
    ("cellmap-status", "cellmap-status", "check the mappings of all cells", "", 1),
]
# The function link_pages checks these.
linkcheck_ignore = [r"[\w-]+\.rst(#|$)"]

# Without a date, a man page changes only with what it says.
today = " "

LOG = logging.getLogger(__name__)


def shorten_paths(_: Sphinx, path: Path, page: str, content: list[str]) -> None:
    """Let the links of a file at the top of the checkout begin in this folder."""
    del path, page
    text = content[0].replace("image:: benchmarks/", "image:: ../benchmarks/")
    text = re.sub("(<|image:: )docs/", r"\1", text)
    content[0] = text.replace("<CONTRIBUTING.rst>", "<contributing.rst>")


def sections(app: Sphinx, page: str) -> set[str]:
    """Return the anchors of a page."""
    elements = app.env.get_doctree(page).findall(nodes.Element)
    return {anchor for each in elements for anchor in each["ids"]}


def link_pages(app: Sphinx, page: nodes.document, name: str) -> None:
    """Turn links to files, as code hosts need them, into links to pages.

    Warns of a link to a page or to a section that does not exist.
    """
    if app.builder.format != "html":
        return
    for link in page.findall(nodes.reference):
        uri = link.get("refuri", "#")
        if uri.startswith("tcp:"):
            # An address in the help of a command.
            link.replace_self(link.children)
        if link.get("internal") or re.match("#|[a-z]+:", uri):
            continue
        file, _, section = uri.partition("#")
        target = file.removesuffix(".rst")
        if target not in app.env.found_docs:
            LOG.warning("no page %s", uri, location=link)
        elif section and section not in sections(app, target):
            LOG.warning("no section %s", uri, location=link)
        else:
            found = app.builder.get_relative_uri(name, target)
            link["refuri"] = f"{found}#{section}" if section else found
            link["internal"] = True


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("include-read", shorten_paths)
    app.connect("doctree-resolved", link_pages)
