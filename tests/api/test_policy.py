"""Other rules are tried over HTTP: what would happen is said, and nothing is written."""

from typing import Any

import pytest

from orchestrator.rules.values import Scope
from tests.api.stage import Api
from tests.flows.dumps import dump
from tests.world import MINUTE, World

pytestmark = pytest.mark.slow


def _rows(world: World) -> dict[str, Any]:
    """Return every row but those of tokens, which note when they were used."""
    return {name: rows for name, rows in dump(world).items() if "token" not in name}


def test_a_change_is_tried_and_nothing_is_written(api: Api, world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 3600})
    world.pass_time(10 * MINUTE)
    reader = api.client(Scope.READ)
    before = _rows(world)
    response = reader.post("/policy:try", json={"set": {"plans.payg.max_duration_seconds": 300}})
    assert _rows(world) == before
    report = response.json()
    assert report["changes"] == [{"key": "plans.payg.max_duration_seconds", "old": 86400, "new": 300}]
    assert [(one["session_id"], one["effect"], one["applies"]) for one in report["findings"]] == [
        (session_id, "stops", "hindsight")
    ]
    other = reader.post("/policy:try", json={"prices": {"llama": "2.40"}, "account_id": "acme"}).json()
    assert other["changes"] == [{"key": "models.llama.price_per_node_hour", "old": "1.20", "new": "2.40"}]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"set": {"dead_after_failuers": 1}}, 422, "did you mean dead_after_failures"),
        ({"set": {"plans.gold.max_nodes": 1}}, 422, "set.plans.gold.max_nodes"),
        ({"set": {"max_placements": True}}, 422, "set"),
        ({"prices": {"llama": "dear"}}, 422, "prices"),
        ({"prices": {"lama": "1"}}, 404, "model lama is unknown"),
        ({"account_id": "nobody"}, 404, "account nobody is unknown"),
        ({"plan": 1}, 422, "unknown"),
    ],
)
def test_what_cannot_be_tried_is_refused(api: Api, body: dict[str, Any], status: int, said: str) -> None:
    response = api.operator.post("/policy:try", json=body)
    assert (response.status_code, said in response.text) == (status, True), response.text


def test_the_rules_are_the_installations(api: Api) -> None:
    bound = api.client(Scope.OPERATE, account="acme")
    assert bound.post("/policy:try", json={"set": {"max_placements": 1}}).status_code == 403
