"""docs/journeys.md names the files that its journeys pass through, and no journey becomes longer."""

import re

from tests.tools.journey import JOURNEYS, PAGE, traces

#: On a busy machine a journey may also pass through the files that examine a delay.
BUSY = 3


def test_the_page_names_the_files() -> None:
    listed = _listed()
    unlisted = {name: set(trace) - listed[name] for name, trace in traces().items()}
    assert all(len(files) <= BUSY for files in unlisted.values()), (
        f"write the page again (python -m tests.tools.journey): {unlisted}"
    )


def test_no_journey_becomes_longer() -> None:
    listed = _listed()
    assert listed.keys() == JOURNEYS.keys()
    longer = {name: len(files) for name, files in listed.items() if len(files) > JOURNEYS[name].at_most}
    assert longer == {}, "keep files that are always read together as one, or pass by those that do nothing"


def _listed() -> dict[str, set[str]]:
    """Return the files of each journey on the page."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {
        section.split(":")[0]: set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))
        for section in sections
    }
