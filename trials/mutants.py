"""Faults that are put into a module, one at a time: small ones, of the kind that people make.

What is left alone: annotations, decorators, docstrings, assertions, f-strings, and words for people, whose wording has
tests of its own.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
SENTENCE = re.compile(r"[A-Za-z][a-z,']* [a-z]")  # words for people; a text of SQL begins in capitals
LEFT_ALONE = ("logger.", "ContextVar", "Counter", "Histogram", "TypeVar", "Literal", "Protocol", "TypeAlias")

Place = ast.expr | ast.stmt


@dataclass(frozen=True)
class Mutant:
    """In `source`, from byte `start` to `end`, there is `after` instead. `key` tells it without a line's number."""

    source: bytes
    start: int
    end: int
    after: str
    function: str
    line: int

    @property
    def key(self) -> str:
        before = " ".join(self.source[self.start : self.end].decode().split())
        if len(before) < 8:  # a number or a word: which one, the line tells
            before = f"{before} of {self.source.splitlines()[self.line - 1].decode().strip()}"
        return f"{self.function}: {_short(before)} → {_short(self.after)}"

    def text(self) -> bytes:
        return self.source[: self.start] + self.after.encode() + self.source[self.end :]


def _short(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:50]} ... {text[-15:]}"


def mutants_of(source: bytes) -> list[Mutant]:
    """All of a module, in the order of its lines."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[tuple[int, int, str], Mutant] = {}

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            function = f"{function}.{node.name}".lstrip(".")
        for place, after in _changes(node):
            assert place.end_lineno is not None
            assert place.end_col_offset is not None
            start, end = (
                starts[place.lineno - 1] + place.col_offset,
                starts[place.end_lineno - 1] + place.end_col_offset,
            )
            mutant = Mutant(source, start, end, after, function or "module", place.lineno)
            found.setdefault((start, end, after), mutant)
        for child in _children(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return sorted(found.values(), key=lambda mutant: (mutant.start, mutant.end, mutant.after))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Without what is no matter of a test."""
    left_out: set[ast.AST | None] = set()
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return
        case ast.If(test=what) if "TYPE_CHECKING" in ast.unparse(what):
            return
        case (
            ast.ClassDef(bases=[what])
            | ast.Subscript(value=what)
            | ast.Call(func=what)
            | ast.AnnAssign(annotation=what)
        ) if ast.unparse(what).startswith(LEFT_ALONE):
            return
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            left_out = {*node.decorator_list, getattr(node, "returns", None)}
        case ast.arg() | ast.AnnAssign():
            left_out = {node.annotation}
    yield from (child for child in ast.iter_child_nodes(node) if child not in left_out)


def _changes(node: ast.AST) -> Iterator[tuple[Place, str]]:
    yield from _of_conditions(node)
    yield from _of_values(node)
    yield from _of_statements(node)


def _of_conditions(node: ast.AST) -> Iterator[tuple[Place, str]]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield node, _code(ast.Compare(left, [COMPARED[type(operator)]()], [right]))
        case ast.BoolOp(op=operator, values=values):
            yield node, _code(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, _code(operand)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
                yield test, _code(ast.UnaryOp(ast.Not(), test))


def _of_values(node: ast.AST) -> Iterator[tuple[Place, str]]:
    match node:
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in COMPUTED:
            if not {type(left), type(right)} & {ast.JoinedStr} and not _is_text(left) and not _is_text(right):
                yield node, _code(ast.BinOp(left, COMPUTED[type(operator)](), right))
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(number) | float(number)):
            yield node, str(number + 1)
        case ast.Constant(value=str(text)) if text and not SENTENCE.match(text):
            yield node, '""'
        case ast.Await(value=value):
            yield node, _code(value)
        case ast.Call(func=ast.Name(id="suppress")):
            yield node, "suppress()"


def _of_statements(node: ast.AST) -> Iterator[tuple[Place, str]]:
    match node:
        case ast.Return(value=value) if value is None:
            yield node, "pass"
        case ast.Return(value=value) if not isinstance(value, ast.Constant):
            yield node, "return None"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete() | ast.Break() | ast.Continue():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Raise(exc=error):
            yield node, "pass"
            if error is not None:
                yield error, "RuntimeError"
        case ast.ExceptHandler(type=ast.expr() as kind):
            other = {"Exception": "BaseException", "BaseException": "Exception"}
            yield kind, other.get(ast.unparse(kind), "ZeroDivisionError")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _code(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"
