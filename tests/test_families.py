"""Each test file is in one family, declared beside its tests, and `-m` leaves the other files unread."""

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.families import (
    FAMILIES,
    POOLED,
    ROOT,
    families_in,
    family_of,
    files_of_tests,
    marks_in,
    pytest_ignore_collect,
)

DECLARING = [*files_of_tests(), *sorted((ROOT / "tests").rglob("conftest.py"))]


def test_each_file_names_one_family_at_most() -> None:
    named = {path: families_in(path) for path in DECLARING}
    assert {path: names for path, names in named.items() if len(names) > 1 or names == ["quick"]} == {}


def test_what_is_read_without_an_import_is_what_python_reads() -> None:
    misread = {path for path in DECLARING if marks_in(path) != _marks_of_the_module(path)}
    assert misread == set()


def test_single_tests_name_no_family() -> None:
    """A family is that of a whole file: what `-m` leaves out is not imported."""
    decorated = {
        f"{path.relative_to(ROOT)}:{decorator.lineno}"
        for path in files_of_tests()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
        if _marks(decorator) & {*FAMILIES, POOLED}
    }
    assert decorated == set()


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("tests/rules/test_money.py", "quick"),
        ("tests/simulation/test_turns.py", "slow"),  # as its folder
        ("tests/store/test_migrations.py", "slow"),  # as its module, which is `pooled` too
        ("tests/money/test_any_life.py", "long"),  # as its module, not as its folder
    ],
)
def test_a_module_comes_before_its_folder(path: str, family: str) -> None:
    assert family_of(ROOT / path) == family


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        ("quick", {"test_a.py"}),
        ("slow", {"slow", "slow/test_b.py"}),
        ("long or slow", {"slow", "slow/test_b.py", "test_c.py"}),
        ("pooled", {"test_c.py"}),
        ("", {"test_a.py", "slow", "slow/test_b.py", "test_c.py"}),
        ("slow and asyncio", {"test_a.py", "slow", "slow/test_b.py", "test_c.py"}),  # may be of a single test
    ],
)
def test_only_selected_files_and_folders_are_read(wanted: str, read: set[str], tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "conftest.py").write_text("pytestmark = pytest.mark.slow\n")
    (tmp_path / "slow" / "test_b.py").write_text("")
    (tmp_path / "test_a.py").write_text("")
    (tmp_path / "test_c.py").write_text("pytestmark = [\n    pytest.mark.long,\n    pytest.mark.pooled,\n]\n")
    config = cast(pytest.Config, SimpleNamespace(option=SimpleNamespace(markexpr=wanted)))
    paths = ("test_a.py", "slow", "slow/test_b.py", "test_c.py")
    assert {path for path in paths if not pytest_ignore_collect(tmp_path / path, config)} == read


def _marks_of_the_module(path: Path) -> frozenset[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            return _marks(node.value)
    return frozenset()


def _marks(expression: ast.expr) -> frozenset[str]:
    return frozenset(
        node.attr
        for node in ast.walk(expression)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pytest.mark"
    )
