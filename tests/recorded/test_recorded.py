"""What is accepted and what is refused stays as recorded: codes, places of faults, and accepted values."""

from pathlib import Path

import pytest

from tests.recorded import record
from tests.recorded.inputs import SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_every_input_has_the_recorded_outcome(section: str, tmp_path: Path) -> None:
    now = record.section_now(section, tmp_path)
    found = list(record.differences(record.section_recorded(section), now))
    assert not found, (
        f"{len(found)} differ; `python -m tests.recorded` shows them, `--write` records them: {found[:5]}"
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_some_inputs_are_accepted_and_some_are_refused(section: str) -> None:
    outcomes = record.section_recorded(section)[1:]
    accepted = sum(isinstance(outcome, str) for outcome in outcomes)
    assert len(outcomes) / 5 < accepted < len(outcomes) * 4 / 5
