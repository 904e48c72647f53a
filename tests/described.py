"""Events and outcomes are as docs/schema describes them, with no field more: each test world checks its own."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from orchestrator.client.schemas import events_schema, outcomes_schema

#: An amount as the database has it: six places, with a zero at the end. A time has a colon before it, or a zone behind.
_ZEROS = re.compile(r"(?<![\d:])\d+\.\d{5}0(?![\dZ+])")
#: Definitions whose objects may have more fields: a close answers with a session, or with what is left of one.
OPEN = {"CloseResource"}


def check_outcome(job: str, outcome: Mapping[str, Any]) -> None:
    """Raise AssertionError where the outcome of this job is not as it is described."""
    kinds = _outcomes()
    if job in kinds:  # a test may send a job that does not exist
        _check(kinds[job], outcome, job)


def check_events(events: Iterable[Mapping[str, Any]]) -> None:
    """Raise AssertionError where an event is not as it is described."""
    kinds = _events()
    for event in events:
        assert event["type"] in kinds, f"docs/schema does not describe the event {event['type']}"
        _check(kinds[event["type"]], event, event["type"])


def _check(validator: Any, value: Any, what: str) -> None:
    faults = [
        f"{'.'.join(map(str, one.instance_path))}: {one.message}" for one in validator.iter_errors(value)
    ]
    assert not faults, f"{what} is not as docs/schema describes it: {faults} in {value}"
    amounts = _ZEROS.findall(json.dumps(value))
    assert not amounts, f"{what} has money in another format: {amounts} in {value}"


@cache
def _outcomes() -> Mapping[str, Any]:
    return _validators(outcomes_schema())


@cache
def _events() -> Mapping[str, Any]:
    return _validators(events_schema())


def _validators(document: dict[str, Any]) -> Mapping[str, Any]:
    strict = {name: one if name in OPEN else _closed(one) for name, one in document["$defs"].items()}
    return {
        name: jsonschema_rs.validator_for({**one, "$defs": strict}, validate_formats=True)
        for name, one in document["properties"].items()
    }


def _closed(definition: dict[str, Any]) -> dict[str, Any]:
    return {**definition, "additionalProperties": False} if "properties" in definition else definition
