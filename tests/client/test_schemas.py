"""docs/schema is what the code has: jobs, outcomes and events, and every amount of money in one format."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import app
from orchestrator.client import resources
from orchestrator.client.event_resources import EVENTS
from orchestrator.client.requests import JOBS
from orchestrator.client.results import RESULTS
from orchestrator.client.schemas import events_schema, outcomes_schema
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.states import State
from orchestrator.rules.upstream.alarms import AlarmKind
from tests.described import check_events, check_outcome
from tests.tools import schemas

ROOT = Path(__file__).parents[2]
#: Names of fields that hold money.
MONEY = re.compile(
    "balance|amount|charged|cost|cost_usd|low_below|available|not_yet_charged"
    "|price_per_.*|.*_at_risk|burn.*|overdraft_.*"
)
#: Fields with such a name that hold something else.
OTHER = {"balance of ProviderResource", "balance of ProviderDetailResource"}


def test_the_documents_are_those_of_the_code() -> None:
    texts = schemas.texts()
    assert {path.name: path.read_text() for path in texts} == {
        path.name: text for path, text in texts.items()
    }, "python -m tests.tools.schemas writes them"
    assert set(schemas.FOLDER.iterdir()) == set(texts)


def test_every_job_has_its_outcome() -> None:
    assert set(RESULTS) == set(JOBS)


def test_every_kind_of_event_in_the_code_is_described_and_no_other() -> None:
    code = "".join(
        path.read_text()
        for folder in ("rules", "flows")
        for path in sorted((ROOT / "orchestrator" / folder).rglob("*.py"))
    )
    kinds: list[type[Enum]] = [State, AlarmKind, InstallationAlarmKind]
    named = {member.value for kind in kinds for member in kind}
    unknown = {
        name for name in EVENTS if name.rpartition(".")[2] not in named and not _is_written(name, code)
    }
    assert unknown == set()
    written = set(re.findall(r'"(orchestrator\.(?:account|provider|webhook)\.[a-z_]+)"', code)) - set(JOBS)
    assert written <= set(EVENTS)
    assert {f"orchestrator.session.{state}" for state in State} <= set(EVENTS)
    assert {f"orchestrator.provider.{kind}" for kind in AlarmKind} <= set(EVENTS)
    assert {f"orchestrator.installation.{kind}" for kind in InstallationAlarmKind} <= set(EVENTS)


def _is_written(name: str, code: str) -> bool:
    _, noun, kind = name.split(".")
    return any(f'{before}{kind}"' in code for before in ('"', f"{noun}.", "}."))


def money_in(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the schema of each field that holds money, with its place."""
    for model, definition in document.items():
        for field, its in definition.get("properties", {}).items():
            place = f"{field} of {model}"
            if MONEY.fullmatch(field) and place not in OTHER:
                yield place, its


def patterns_in(schema: Any) -> Iterator[str]:
    """Yield the patterns of a field's texts, also of those of a mapping."""
    match schema:
        case {"pattern": str(pattern)}:
            yield pattern
        case dict():
            for below in schema.values():
                yield from patterns_in(below)
        case list():
            for below in schema:
                yield from patterns_in(below)


def definitions(source: str) -> Any:
    if source == "events":
        return events_schema()["$defs"]
    if source == "outcomes":
        return outcomes_schema()["$defs"]
    shapes = app.document()["components"]["schemas"]
    return {name: one for name, one in shapes.items() if name.endswith("Resource")}


@pytest.mark.parametrize("source", ["events", "outcomes", "the HTTP API"])
def test_every_amount_that_leaves_has_the_one_format(source: str) -> None:
    found = dict(money_in(definitions(source)))
    assert len(found) > 3
    assert {place: its for place, its in found.items() if resources.MONEY not in patterns_in(its)} == {}


EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/orchestrator",
    "type": "orchestrator.account.exhausted",
    "subject": "acme",
    "time": "2026-01-01T12:00:00Z",
    "datacontenttype": "application/json",
    "data": {"account_id": "acme", "session_id": "s-1", "balance": "0.50"},
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"type": "orchestrator.account.vanished"}, id="a type that is not described"),
        pytest.param({"data": {**EVENT["data"], "more": 1}}, id="a field that is not described"),
        pytest.param({"data": {"account_id": "acme", "session_id": "s-1"}}, id="a field that is missing"),
        pytest.param({"data": {**EVENT["data"], "balance": "0"}}, id="money without places"),
        pytest.param({"data": {**EVENT["data"], "balance": "0.500000"}}, id="money with zeros behind"),
        pytest.param({"data": {**EVENT["data"], "balance": 0.5}}, id="money as a number"),
        pytest.param({"time": "yesterday"}, id="no time"),
    ],
)
def test_what_is_not_described_is_found(changes: dict[str, Any]) -> None:
    check_events([EVENT])
    with pytest.raises(AssertionError, match="docs/schema"):
        check_events([EVENT | changes])


@pytest.mark.parametrize(
    "outcome",
    [
        {"ok": True, "result": {}},
        {"ok": False, "result": {}},
        {"ok": False, "error": {"code": "bad_luck", "message": "no", "details": {}}},
    ],
)
def test_an_outcome_that_is_not_described_is_found(outcome: dict[str, Any]) -> None:
    refused = {"ok": False, "error": {"code": "no_capacity", "message": "no key is free", "details": {}}}
    check_outcome("orchestrator.model.put", refused)
    with pytest.raises(AssertionError, match="docs/schema"):
        check_outcome("orchestrator.model.put", outcome)
