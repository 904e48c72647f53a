"""Find the place of an edit by names and syntax, and change the source there.

Where a function stands, how it is laid out and what its comments say does not matter: the function is looked up by its
qualified name in the whole package, and the sound code is compared as syntax within it.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from tests.mutations.kinds import Edit

PACKAGE = "orchestrator"
#: A name that begins like this matches any expression, and stands for it in the broken code.
ANY = "any_"


class Misplaced(Exception):
    """A defect does not fit the code any more: its place is not found exactly once."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or constant, and the file that it is in."""

    path: Path
    node: ast.AST


@dataclass(frozen=True, slots=True)
class Match:
    """The nodes that equal the sound code, and what `any_…` matched."""

    nodes: Sequence[ast.stmt] | Sequence[ast.expr]
    bound: dict[str, ast.expr]


def apply(edit: Edit, tree: Path) -> None:
    """Break the code at the one place that the edit names. Raises Misplaced."""
    change(find(edit.within, tree, beside=edit.beside), edit)


def change(definition: Definition, edit: Edit) -> None:
    """Break the code within this definition. Raises Misplaced."""
    found = list(_matches(_parsed(edit.sound), definition.node))
    if len(found) != 1:
        where = f"{edit.within} in {definition.path.name}"
        raise Misplaced(f"{where}: this occurs {len(found)} times: {edit.sound!r}")
    changed = _replaced(definition.path.read_text(), found[0], edit.broken)
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise Misplaced(f"{edit.within}: the broken code is no Python: {error}: {edit.broken!r}") from None
    definition.path.write_text(changed)


def find(within: str, tree: Path, *, beside: str | None = None) -> Definition:
    """Return the one definition of this qualified name in the package. Raises Misplaced.

    `beside`: another name that its file defines; needed where several files define `within`."""
    last = within.rpartition(".")[2]
    defines = re.compile(rf"\b(?:def|class)\s+{last}\b|^[ \t]*{last}\s*[:=]", re.MULTILINE)
    found = [
        definition
        for path in sorted((tree / PACKAGE).rglob("*.py"))
        if last in (source := path.read_text()) and defines.search(source)  # few files need to be parsed
        for definition in _definitions(within, path, source, beside)
    ]
    if len(found) == 1:
        return found[0]
    named = f"{within} beside {beside}" if beside else within
    if not found:
        raise Misplaced(f"{named} is defined nowhere in {PACKAGE}: was it renamed?")
    files = ", ".join(str(definition.path.relative_to(tree)) for definition in found)
    raise Misplaced(f"{named} is ambiguous, it is defined in {files}: name a neighbour with `beside`")


def _definitions(within: str, path: Path, source: str, beside: str | None) -> Iterator[Definition]:
    named = list(_named(ast.parse(source)))
    if beside is None or any(name == beside for name, _ in named):
        yield from (Definition(path, node) for name, node in named if name == within)


def _named(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield every function, class and constant below `node` with its qualified name."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield prefix + child.name, child
                yield from _named(child, f"{prefix}{child.name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):  # not a local variable
                    yield prefix + name, child
            case _:
                yield from _named(child, prefix)


def _parsed(sound: str) -> list[ast.stmt] | ast.expr:
    """Return one expression, or several statements."""
    match ast.parse(dedent(sound)).body:
        case [ast.Expr(value=expression)]:
            return expression
        case statements:
            return statements


def _matches(pattern: list[ast.stmt] | ast.expr, node: ast.AST) -> Iterator[Match]:
    for candidate in _candidates(pattern, node):
        bound: dict[str, ast.expr] = {}
        if _same(pattern if isinstance(pattern, list) else [pattern], candidate, bound):
            yield Match(candidate, bound)


def _candidates(
    pattern: list[ast.stmt] | ast.expr, node: ast.AST
) -> Iterator[list[ast.stmt] | list[ast.expr]]:
    """Yield each expression, or each run of as many statements; none in an f-string, where positions are wrong."""
    for _, value in ast.iter_fields(node):
        block = value if isinstance(value, list) else [value]
        children = [child for child in block if isinstance(child, ast.AST)]
        statements = [child for child in children if isinstance(child, ast.stmt)]
        if isinstance(pattern, list):
            count = len(pattern)
            yield from (statements[n : n + count] for n in range(len(statements) - count + 1))
        else:
            yield from ([child] for child in children if isinstance(child, ast.expr))
        for child in children:
            if not isinstance(child, ast.JoinedStr):
                yield from _candidates(pattern, child)


def _same(pattern: object, node: object, bound: dict[str, ast.expr]) -> bool:
    match pattern:
        case ast.Name(id=name) if name.startswith(ANY):
            return isinstance(node, ast.expr) and _same(bound.setdefault(name, node), node, {})
        case ast.AST():
            fields = pattern._fields
            return type(node) is type(pattern) and all(
                _same(getattr(pattern, name, None), getattr(node, name, None), bound) for name in fields
            )
        case list():
            return (
                isinstance(node, list)
                and len(node) == len(pattern)
                and all(_same(*pair, bound) for pair in zip(pattern, node, strict=True))
            )
        case _:
            return type(node) is type(pattern) and node == pattern


def _replaced(source: str, match: Match, broken: str) -> str:
    """Return the source with the broken code in the place of the matched nodes. The parser counts bytes."""
    first, last = match.nodes[0], match.nodes[-1]
    lines = source.encode().splitlines(keepends=True)
    begin = sum(map(len, lines[: first.lineno - 1])) + first.col_offset
    end = sum(map(len, lines[: (last.end_lineno or 0) - 1])) + (last.end_col_offset or 0)
    code = re.sub(
        rf"\b{ANY}\w+", lambda name: _source_of(match.bound, name[0], source), dedent(broken).strip()
    )
    code = f"({code})" if isinstance(first, ast.expr) else indent(code, " " * first.col_offset).lstrip()
    whole = source.encode()
    return (whole[:begin] + code.encode() + whole[end:]).decode()


def _source_of(bound: dict[str, ast.expr], name: str, source: str) -> str:
    if name not in bound:
        raise Misplaced(f"the sound code has no {name}")
    return f"({ast.get_source_segment(source, bound[name])})"
