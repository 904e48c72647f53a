"""Families of tests: a module's `pytestmark`, or else that of its folder's conftest.py, names one; `quick` is the rest.

`-m` selects families, and files of other families are then not imported. `pooled` is no family: it names what runs a
second time, behind PgBouncer."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).resolve().parents[1]
#: In the order in which they begin in one run.
FAMILIES = ("long", "slow", "money", "chaos", "web", "quick")
POOLED = "pooled"
_DECLARED = re.compile(r"^pytestmark = (.*(?:\n[ \])].*)*)", re.MULTILINE)
_MARK = re.compile(r"pytest\.mark\.(\w+)")
_NAME = re.compile(r"\b(?!(?:and|or|not)\b)[^\W\d]\w*")


@cache
def family_of(path: Path) -> str:
    """Return the family of this test file."""
    declared = [*families_in(path), *families_in(path.with_name("conftest.py")), "quick"]
    return declared[0]


def families_in(path: Path) -> list[str]:
    """Return the families that this file itself declares."""
    return [mark for mark in marks_in(path) if mark in FAMILIES]


@cache
def marks_in(path: Path) -> frozenset[str]:
    """Return the markers of this file's own `pytestmark`, without an import."""
    declared = _DECLARED.search(path.read_text(encoding="utf-8")) if path.exists() else None
    return frozenset(_MARK.findall(declared.group(1))) if declared else frozenset()


def files_of_tests(below: Path = ROOT / "tests") -> Iterator[Path]:
    """Yield every test file."""
    yield from sorted(below.rglob("test_*.py"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files and folders in which `-m` selects nothing."""
    wanted = config.option.markexpr
    if not wanted or not set(_NAME.findall(wanted)) <= {*FAMILIES, POOLED}:
        return None
    files = files_of_tests(collection_path) if collection_path.is_dir() else [collection_path]
    return None if any(_is_selected(path, wanted) for path in files) else True


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with its family."""
    item.add_marker(family_of(item.path))


def _is_selected(path: Path, wanted: str) -> bool:
    marks = {family_of(path), *(marks_in(path) & {POOLED})}

    def is_marked(name: str, /, **_: object) -> bool:
        return name in marks

    return Expression.compile(wanted).evaluate(is_marked)
