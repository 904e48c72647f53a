"""The defects still fit the code, and each is found for what it breaks: otherwise they would prove nothing."""

import ast
import shutil
from pathlib import Path

import pytest

from tests.mutations.defects import DEFECTS
from tests.mutations.kinds import LEAKS, ONCE, Defect
from tests.mutations.runner import ROOT, apply, finds
from tests.simulation.invariants import INVARIANTS


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_fits_the_code(defect: Defect) -> None:
    assert defect.edits
    for edit in defect.edits:
        assert (ROOT / edit.file).read_text().count(edit.sound) == 1, edit.file


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_what_is_broken_is_still_code(defect: Defect, tmp_path: Path) -> None:
    for edit in defect.edits:
        (tmp_path / edit.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / edit.file, tmp_path / edit.file)
    for edit in defect.edits:
        apply(edit, tmp_path)
        ast.parse((tmp_path / edit.file).read_text())


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
