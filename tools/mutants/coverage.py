"""Record which tests ran which statements, also in the processes that they fork."""

import ast
import builtins
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PROBE = "probe_of_mutants"


class Probes(ast.NodeTransformer):
    """Insert a call of the probe before each statement."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Insert the calls into each list of statements of *node*."""
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, [new for old in body for new in probed(old)])
        return node


def probed(node: ast.AST) -> list[ast.AST]:
    """Return a statement with the call of the probe before it."""
    kept = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    if kept or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return [node]
    call = ast.parse(f"{PROBE}(__file__, {node.lineno})").body[0]  # type: ignore[attr-defined]
    return [ast.copy_location(call, node), node]


class Recorder(MetaPathFinder):
    """Load the modules of some rooms with probes, which append to *file*."""

    def __init__(self, prefixes: Sequence[str], file: Path) -> None:
        self.prefixes = tuple(prefixes)
        self.file = os.open(file, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self.known: set[tuple[str, str, int]] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module of the rooms."""
        if not fullname.startswith(self.prefixes):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin:
            spec.loader = Loader(fullname, spec.origin)
        return spec

    def probe(self, file: str, line: int) -> None:
        """Record that the test at hand has come to a statement, once."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        seen = (test, file, line)
        if seen not in self.known:
            self.known.add(seen)
            # At once: a test may kill this process.
            os.write(self.file, f"{test}\t{file}\t{line}\n".encode())


class Loader(SourceFileLoader):
    """Compile a module with probes."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code, which is not kept in a file."""
        path = self.get_filename(fullname)
        tree = Probes().visit(ast.parse(Path(path).read_text()))
        return compile(ast.fix_missing_locations(tree), path, "exec")


def record(prefixes: Sequence[str], file: Path) -> None:
    """Record from now on; no module may be imported yet."""
    recorder = Recorder(prefixes, file)
    setattr(builtins, PROBE, recorder.probe)
    finders: list[Any] = sys.meta_path
    finders.insert(0, recorder)
