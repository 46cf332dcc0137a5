"""List the small changes of a module that a test should notice.

Each change inverts, moves or removes one decision: a comparison, a boundary, a number,
an operand of AND or OR, a call, the order of two statements, or an operator in SQL.
Messages, annotations, docstrings and the arguments of dataclass are left as they are.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
}

# A function or method, and the one that decides the other way.
OPPOSITES = (
    ("is_", "is_not"),
    ("in_", "not_in"),
    ("is_distinct_from", "is_not_distinct_from"),
    ("and_", "or_"),
    ("min", "max"),
    ("any", "all"),
    ("asc", "desc"),
    ("union", "union_all"),
    ("intersection", "union"),
    ("startswith", "endswith"),
)
RENAMED = dict(OPPOSITES) | {
    new: old for old, new in OPPOSITES if old != "intersection"
}

# Functions and methods whose arguments are conditions.
CONDITIONS = {"where", "and_", "or_", "having"}

# Methods without which a query returns more rows, or the same in another order.
RESTRICTIONS = {"where", "having", "limit", "order_by", "distinct", "with_for_update"}

SQL = re.compile(r"\b(SELECT|FROM|WHERE|SHOW|PRAGMA|BEGIN|SET|INSERT|UPDATE|CASE)\b")

IN_SQL = (
    (r"\bAND\b", "OR"),
    (r"\bOR\b", "AND"),
    (r"(?<![<>!=:])=(?![=>])", "<>"),
    (r"<>|!=", "="),
    (r"<=", "<"),
    (r">=", ">"),
    (r"<(?![=>])", "<="),
    (r"(?<![<-])>(?!=)", ">="),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bNOT (?=IN|EXISTS|LIKE)", ""),
    (r"\bLEFT JOIN\b", "JOIN"),
    (r"\bDESC\b", "ASC"),
    (r"\bWHERE\b", "WHERE NOT"),
    (r"(?<![\w:.])\d+(?![\w.])", "7"),
)

# Fields of a node that decide nothing.
SKIPPED = {"annotation", "returns", "type_params", "ctx"}


@dataclass(frozen=True)
class Change:
    """Hold one change of a module, which *make* applies to its *tree*."""

    path: Path
    tree: ast.Module
    # Line of the innermost statement, and the lines of the innermost definition.
    line: int
    definition: range
    name: str
    make: Callable[[], None]


def changes(path: Path, shown: str) -> list[Change]:
    """Return the changes of the module at *path*; *shown* begins their names."""
    tree = ast.parse(path.read_text())
    found = Walk(path, tree, shown)
    found.visit(tree)
    return found.changes


class Walk:
    """Collect the changes of one module."""

    def __init__(self, path: Path, tree: ast.Module, shown: str) -> None:
        self.path, self.tree, self.shown = path, tree, shown
        self.changes: list[Change] = []
        self.names: dict[str, int] = {}
        self.scope: list[str] = []
        self.statement: ast.stmt | None = None
        self.definition = range(10**6)

    def add(self, before: str, after: str, make: Callable[[], None]) -> None:
        """Add a change of the statement at hand."""
        before, after = (" ".join(text.split()) for text in (before, after))
        where = "::".join((self.shown, *self.scope))
        name = f"{where}: {before} -> {after or 'nothing'}"
        self.names[name] = count = self.names.get(name, 0) + 1
        name += f" #{count}" * (count > 1)
        line = self.statement.lineno if self.statement else 0
        self.changes.append(
            Change(self.path, self.tree, line, self.definition, name, make)
        )

    def visit(self, node: ast.AST) -> None:
        """Add the changes below *node*."""
        state = self.statement, self.definition
        if isinstance(node, ast.stmt):
            self.statement = node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.scope.append(node.name)
            self.definition = range(node.lineno, (node.end_lineno or 0) + 1)
        for field, value in ast.iter_fields(node):
            if field in SKIPPED:
                continue
            if isinstance(value, list):
                self.visit_list(node, field, value)
            elif isinstance(value, ast.AST):
                self.visit_child(value, replacing(node, field))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.scope.pop()
        self.statement, self.definition = state

    def visit_list(self, node: ast.AST, field: str, values: list[ast.AST]) -> None:
        """Add the changes of the nodes in a list."""
        for index, value in enumerate(values):
            if skipped(field, value):
                continue
            if isinstance(value, ast.stmt):
                self.statement = value
                self.visit_statement(values, index)
            if isinstance(value, ast.AST):
                self.visit_child(value, placing(values, index))
        if isinstance(node, ast.stmt):
            self.statement = node

    def visit_child(self, node: ast.AST, put: Callable[[ast.AST], None]) -> None:
        """Add the changes that replace *node*, and those below it."""
        if isinstance(node, ast.JoinedStr) and not SQL.search(ast.unparse(node)):
            return
        for new in replacements(node):
            self.add(ast.unparse(node), ast.unparse(new), lambda new=new: put(new))  # type: ignore[misc]
        self.visit(node)

    def visit_statement(self, body: list[ast.AST], index: int) -> None:
        """Add the removal of a statement, and its exchange with the next one."""
        node = body[index]
        if removable(node):
            put = placing(body, index)
            self.add(first_line(node), "pass", lambda: put(ast.Pass()))
        if index + 1 < len(body) and exchangeable(node, body[index + 1]):
            after = body[index + 1]

            def exchange() -> None:
                body[index : index + 2] = [after, node]

            both = f"{first_line(node)}; {first_line(after)}"
            self.add(both, "exchanged", exchange)


def replacing(node: ast.AST, field: str) -> Callable[[ast.AST], None]:
    """Return a function that sets a field of *node*."""
    return lambda new: setattr(node, field, new)


def placing(values: list[ast.AST], index: int) -> Callable[[ast.AST], None]:
    """Return a function that sets an element of *values*."""
    return lambda new: values.__setitem__(index, new)


def first_line(node: ast.AST) -> str:
    """Return the source of a statement, or its first line if it has a body."""
    text = ast.unparse(node)
    return text if not hasattr(node, "body") else text.splitlines()[0]


def skipped(field: str, value: object) -> bool:
    """Return True for docstrings, and for arguments that decide nothing."""
    if field == "decorator_list":
        return "dataclass" in ast.unparse(value)  # type: ignore[arg-type]
    if isinstance(value, ast.keyword):
        return value.arg in {"strict", "stacklevel"}
    return (
        (
            field == "body"
            and isinstance(value, ast.Expr)
            and isinstance(value.value, ast.Constant)
        )
        or isinstance(value, ast.Import | ast.ImportFrom)
        or is_for_types(value)
    )


def is_for_types(node: object) -> bool:
    """Return True for a block of imports that only type checkers execute."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def removable(node: ast.AST) -> bool:
    """Return True for a statement whose removal leaves a valid program."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.Raise | ast.Continue | ast.Break | ast.AugAssign)


def exchangeable(first: ast.AST, second: ast.AST) -> bool:
    """Return True if two simple statements with an effect can change places."""
    kinds = (ast.Expr, ast.Assign, ast.AugAssign)
    if not (isinstance(first, kinds) and isinstance(second, kinds)):
        return False
    if isinstance(first, ast.Assign) and isinstance(second, ast.Assign):
        return False
    if any(
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)
        for node in (first, second)
    ):
        return False
    return not stored(first) & names(second)


def names(node: ast.AST) -> set[str]:
    """Return the local names in a statement."""
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def stored(node: ast.AST) -> set[str]:
    """Return the local names to which a statement assigns."""
    return {
        found.id
        for found in ast.walk(node)
        if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store)
    }


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that may take the place of *node*."""
    if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp):
        yield from other_operators(node)
    elif isinstance(node, ast.Call):
        yield from other_calls(node)
    elif isinstance(node, ast.Constant):
        for value in other_values(node.value):
            yield ast.Constant(value)  # type: ignore[arg-type]
    elif isinstance(node, ast.Set | ast.List | ast.Tuple):
        if all(is_text(element) for element in node.elts):
            for rest in without_one(node.elts):
                yield with_field(node, "elts", rest)
    else:
        yield from other_branches(node)


def other_operators(node: ast.expr) -> Iterator[ast.AST]:
    """Yield the node with another operator, or with one operand less."""
    match node:
        case ast.Compare(left, ops, comparators):
            for index, op in enumerate(ops):
                for new in OPERATORS.get(type(op), ()):
                    some = [*ops[:index], new(), *ops[index + 1 :]]
                    yield ast.Compare(left, some, comparators)  # type: ignore[arg-type]
        case ast.BoolOp(op, values):
            for rest in without_one(values):
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, op, right) if ast.unparse(right) != "None":
            for new in OPERATORS.get(type(op), ()):
                yield ast.BinOp(left, new(), right)  # type: ignore[arg-type]


def other_branches(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node with an inverted or a missing condition, or without a handler."""
    match node:
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.If(test) | ast.While(test) if isinstance(
            test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr
        ):
            yield with_field(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=ifs):
            for rest in without_one(ifs, least=0):
                yield with_field(node, "ifs", rest)
        case ast.ExceptHandler(body=body) if not isinstance(body[-1], ast.Raise):
            yield with_field(node, "body", [ast.Raise()])


def is_text(node: ast.AST) -> bool:
    """Return True for a literal str."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def without_one(values: list[ast.expr], least: int = 1) -> Iterator[list[ast.expr]]:
    """Yield *values* without each of them, if at least *least* are left."""
    if len(values) > least:
        for index in range(len(values)):
            yield [*values[:index], *values[index + 1 :]]


def with_field(node: ast.AST, field: str, value: object) -> ast.AST:
    """Return a copy of *node* with another value in one field."""
    fields = {**dict(ast.iter_fields(node)), field: value}
    return ast.copy_location(type(node)(**fields), node)


def other_values(value: object) -> Iterator[object]:
    """Yield literals to try in place of *value*."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str) and SQL.search(value):
        for pattern, new in IN_SQL:
            for found in re.finditer(pattern, value):
                yield value[: found.start()] + new + value[found.end() :]


def other_calls(node: ast.Call) -> Iterator[ast.AST]:
    """Yield the opposite of a call, the call with fewer conditions, or none."""
    function = node.func
    name = getattr(function, "attr", None) or getattr(function, "id", "")
    if name in RENAMED:
        field = "attr" if isinstance(function, ast.Attribute) else "id"
        new = with_field(function, field, RENAMED[name])
        yield with_field(node, "func", new)
    if name in CONDITIONS:
        for rest in without_one(node.args):
            yield with_field(node, "args", rest)
    if name in RESTRICTIONS and isinstance(function, ast.Attribute):
        yield function.value
