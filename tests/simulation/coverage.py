"""Was every flow's commit visited by some story? Read off the code, not a list."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import orchestrator.flows
from tests.simulation.crashes import Telling

FLOWS = Path(orchestrator.flows.__file__).parent
#: Only the command line calls these: a person sees them fail, and calls them again.
BY_HAND = frozenset({"brake.release_by_hand", "try_ping._meter"})


def unvisited(tellings: Iterable[Telling]) -> list[str]:
    """Functions of flows that commit, and that no telling came by."""
    points = {point for telling in tellings for point in telling.points}
    seen = {point.partition(" commit of ")[2] for point in points if " commit of " in point}
    return sorted(name for name in committing() if name not in seen and name not in BY_HAND)


def committing() -> set[str]:
    """`module.function` of every function in flows that hands a transaction to the store."""
    return {
        f"{path.stem}.{name}"
        for path in FLOWS.glob("*.py")
        for name, body in _functions(ast.parse(path.read_text()))
        if any(_commits(node) for node in ast.walk(body))
    }


def _functions(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _commits(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "transact"
    )
