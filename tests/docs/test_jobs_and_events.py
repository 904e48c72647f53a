"""docs/jobs.md and docs/events.md name every job, argument, error code, event and field that the code has."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from orchestrator.client.event_resources import EVENTS
from orchestrator.client.requests import JOBS
from orchestrator.client.results import RESULTS
from orchestrator.rules.refusals import ErrorCode

DOCS = Path(__file__).parents[2] / "docs"
EVENTS_PAGE, JOBS_PAGE = ((DOCS / name).read_text() for name in ("events.md", "jobs.md"))
NAMES = re.compile(r"`([a-z_.]+)`")


def tables(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the head of each table's first column, and the names in that column."""
    for head, rows in re.findall(r"^\| (\w+) \|.*\n\|---.*\n((?:\|.*\n)+)", page, re.MULTILINE):
        yield head, [name for row in rows.splitlines() for name in NAMES.findall(row.split("|")[1])]


def events_with_fields() -> Iterator[tuple[list[str], list[str]]]:
    """Yield the types of each table of types, with the fields of the table that follows it."""
    types: list[str] = []
    for head, names in tables(EVENTS_PAGE):
        if head == "type":
            types = names
        elif head == "field":
            yield types, names


def test_every_type_of_event_stands_there_once() -> None:
    named = [name for types, _ in events_with_fields() for name in types]
    assert sorted(named) == sorted(EVENTS)


def test_every_field_of_each_event_stands_there() -> None:
    wrong = {
        name: {*fields} ^ {*EVENTS[name].model_fields}
        for types, fields in events_with_fields()
        for name in types
        if sorted(fields) != sorted(EVENTS[name].model_fields)
    }
    assert wrong == {}


def sections() -> dict[str, str]:
    """Return what the page says about each job."""
    parts = re.split(r"^### `(orchestrator\.[a-z_.]+)`\n", JOBS_PAGE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (part.split("\n## ")[0] for part in parts[1::2]), strict=True))


def arguments(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield the names of all arguments; those of a part are `part.name`."""
    for name, field in model.model_fields.items():
        parts = [
            one for one in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_part(one)
        ]
        yield f"{before}{name}"
        for part in parts:
            yield from arguments(part, f"{before}{name}.")


def _is_part(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_every_job_stands_there() -> None:
    assert sorted(sections()) == sorted(JOBS)


def test_every_argument_of_each_job_stands_there() -> None:
    wrong = {}
    for job, section in sections().items():
        [named] = [names for head, names in tables(section) if head == "argument"]
        if sorted(named) != sorted(arguments(JOBS[job])):
            wrong[job] = {*named} ^ {*arguments(JOBS[job])}
    assert wrong == {}


def test_each_job_says_the_shape_of_its_result() -> None:
    for job, section in sections().items():
        [shape] = re.findall(r"^Result: `(\w+)`", section, re.MULTILINE)
        assert shape == RESULTS[job].__name__, job


def test_every_error_code_stands_there_and_each_job_names_codes_that_exist() -> None:
    [codes] = [names for head, names in tables(JOBS_PAGE) if head == "code"]
    assert sorted(codes) == sorted(ErrorCode)
    for job, section in sections().items():
        [line] = re.findall(r"^Refused with: (.*)$", section, re.MULTILINE)
        assert set(NAMES.findall(line)) <= set(ErrorCode), job
