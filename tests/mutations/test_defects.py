"""The defects still fit the code, and each is found for what it breaks: otherwise they would prove nothing."""

import ast
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mutations.defects import DEFECTS
from tests.mutations.finder import PACKAGE, change, find
from tests.mutations.kinds import LEAKS, ONCE, Defect
from tests.mutations.runner import ROOT, finds
from tests.simulation.invariants import INVARIANTS


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package, which each test leaves as it was."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / PACKAGE, tree / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_changes_the_code_wherever_that_is_and_however_it_is_formatted(
    defect: Defect, tree: Path
) -> None:
    broken = broken_by(defect, tree)
    assert broken
    assert all(syntax != syntax_of(path) for path, syntax in broken.items())
    with moved_and_formatted(broken.keys(), tree):
        assert sorted(broken_by(defect, tree).values()) == sorted(broken.values())


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_found_as_what_it_breaks(defect: Defect) -> None:
    module, *arguments = defect.found_by
    if module == "pytest":
        assert f"def {defect.found_as.partition('[')[0]}(" in (ROOT / arguments[0]).read_text()
    else:
        assert defect.found_as == ONCE or any(name.startswith(defect.found_as) for name in INVARIANTS)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(f"  BROKEN {LEAKS}, and the other way round: 0x1: open at node", True, id="named"),
        pytest.param("  BROKEN the story broke off: TimeoutError: ", False, id="it broke off"),
        pytest.param("  BROKEN never comes to rest: session 1 stopping", False, id="something else"),
        pytest.param(
            f"  BROKEN {LEAKS}: x: AttributeError: no such name", False, id="an accident of the edit"
        ),
        pytest.param(f"01 00:00:01 client {LEAKS}", False, id="no finding"),
    ],
)
def test_a_line_is_a_finding_only_where_it_names_what_is_broken(line: str, *, found: bool) -> None:
    [defect] = [defect for defect in DEFECTS if defect.name == "orphans-never-closed"]
    assert finds(defect, line) is found


def test_every_defect_has_a_name_of_its_own() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 10


def syntax_of(path: Path) -> str:
    return ast.dump(ast.parse(path.read_text()))


def broken_by(defect: Defect, tree: Path) -> dict[Path, str]:
    """Return the syntax of each file that the defect changes, and undo the change."""
    before: dict[Path, str] = {}
    try:
        for edit in defect.edits:
            definition = find(edit.within, tree, beside=edit.beside)
            before.setdefault(definition.path, definition.path.read_text())
            change(definition, edit)
        return {path: syntax_of(path) for path in before}
    finally:
        for path, text in before.items():
            path.write_text(text)


@contextmanager
def moved_and_formatted(files: Iterable[Path], tree: Path) -> Iterator[None]:
    """Put each of these files elsewhere, without comments and in another layout; put it back afterwards."""
    texts = {file: file.read_text() for file in files}
    elsewhere = tree / PACKAGE / "elsewhere"
    elsewhere.mkdir()
    for number, (file, text) in enumerate(texts.items()):
        file.unlink()
        (elsewhere / f"file_{number}.py").write_text(ast.unparse(ast.parse(text)))
    try:
        yield
    finally:
        shutil.rmtree(elsewhere)
        for file, text in texts.items():
            file.write_text(text)
