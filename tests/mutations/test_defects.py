"""The defects still fit the code: one that does not would prove nothing."""

import pytest

from tests.mutations.defects import DEFECTS, Defect
from tests.mutations.runner import ROOT


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_fits_the_code(defect: Defect) -> None:
    assert defect.edits
    for edit in defect.edits:
        assert (ROOT / edit.file).read_text().count(edit.sound) == 1, edit.file


def test_every_defect_has_a_name_of_its_own() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 10
