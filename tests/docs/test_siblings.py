"""Modules of one package import each other openly: an import for the type checker alone would hide a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def hidden_siblings(module: str, source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each module of the same package that is imported for the type checker alone."""
    package = module.rpartition(".")[0]
    for block in ast.walk(ast.parse(source)):
        if isinstance(block, ast.If) and _asks_for_the_checker(block.test):
            for node in (one for statement in block.body for one in ast.walk(statement)):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield from ((node.lineno, name) for name in _imported(node) if _parent(name) == package)


def _asks_for_the_checker(test: ast.expr) -> bool:
    return any(getattr(node, "id", getattr(node, "attr", None)) == "TYPE_CHECKING" for node in ast.walk(test))


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield the modules that this statement imports: in `from a import b`, b may be one too."""
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names)
    elif node.module is not None:
        names = (f"{node.module}.{one.name}" for one in node.names)
        yield from (name for name in (node.module, *names) if _is_module(name))


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(
            "from orchestrator.tasks.app import Process", ["orchestrator.tasks.app"], id="a sibling"
        ),
        pytest.param("from orchestrator.tasks import app", ["orchestrator.tasks.app"], id="by its package"),
        pytest.param("import orchestrator.tasks.app", ["orchestrator.tasks.app"], id="a plain import"),
        pytest.param("from orchestrator.settings import Settings", [], id="another package"),
        pytest.param("from celery import Celery", [], id="a library"),
    ],
)
def test_a_sibling_that_only_the_type_checker_imports_is_found(line: str, found: list[str]) -> None:
    source = f"if TYPE_CHECKING:\n    {line}\n"
    assert [name for _, name in hidden_siblings("orchestrator.tasks.pools", source)] == found
    assert list(hidden_siblings("orchestrator.tasks.pools", line)) == []


def test_no_module_hides_the_import_of_a_sibling() -> None:
    """A package's own `__init__` may: it hands out names of its modules when they are asked for."""
    paths = [path for top in ("orchestrator", "tests") for path in sorted((ROOT / top).rglob("*.py"))]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in paths
        if path.name != "__init__.py"
        for line, name in hidden_siblings(
            ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text()
        )
    ]
    assert len(paths) > 1000
    assert found == [], "move what both need into a module below them, or hand it in"
