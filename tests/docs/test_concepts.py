"""docs/concepts.md names each state, stop reason, verdict and step once, and its diagrams are those of the tables."""

import re
from enum import StrEnum

import pytest

from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Verdict
from tests.tools.concepts import PAGE, drawn, with_diagrams

SECTIONS = {
    "Session": State,
    "Placement": PlacementState,
    "Stop reasons": StopReason,
    "Verdicts": Verdict,
    "Steps": Step,
}


@pytest.mark.parametrize(("heading", "words"), SECTIONS.items())
def test_each_word_has_one_sentence(heading: str, words: type[StrEnum]) -> None:
    [section] = re.findall(f"^## {heading}\n(.*?)(?=^## |\\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \|.* (\S.*\.) \|$", section, re.MULTILINE)
    assert [word for word, _ in rows] == [word.value for word in words]


def test_the_diagrams_are_fresh() -> None:
    page = PAGE.read_text()
    assert with_diagrams(page) == page, "python -m tests.tools.concepts writes them"


def test_a_diagram_shows_every_transition_and_where_lives_end() -> None:
    table = {"a": {"b", "c"}, "b": {"a"}, "c": set[str]()}
    assert drawn(table).splitlines()[1:] == [
        "    [*] --> a",
        "    a --> b",
        "    a --> c",
        "    b --> a",
        "    c --> [*]",
    ]
