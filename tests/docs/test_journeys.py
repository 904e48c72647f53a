"""docs/journeys.md names the files that its journeys pass through."""

import re

from tests.tools.journey import PAGE, traces

#: On a busy machine a journey may also pass through the files that examine a delay.
BUSY = 3


def test_the_page_names_the_files() -> None:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    listed = {
        section.split(":")[0]: set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))
        for section in sections
    }
    unlisted = {name: set(trace) - listed[name] for name, trace in traces().items()}
    assert all(len(files) <= BUSY for files in unlisted.values()), (
        f"write the page again (python -m tests.tools.journey): {unlisted}"
    )
