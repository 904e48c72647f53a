"""`If-None-Match: *` creates only, also where another request creates the same in between."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.client.requests import PutModel
from orchestrator.flows.jobs import put_account
from orchestrator.flows.operations import webhooks
from tests.api.stage import SPEECH_MODEL, Api, answered
from tests.world import World

ACCOUNT = {"plan": "payg", "currency": "USD", "quota": {"max_concurrent": 3}}
MODEL = {**SPEECH_MODEL, "max_interactions": 3}
WEBHOOK = {"url": "https://first.test/", "secrets": ["env:HOOK"]}


@pytest.mark.parametrize(
    ("path", "theirs", "mine", "owner", "name"),
    [
        ("/accounts/new", ACCOUNT, ACCOUNT | {"quota": {"max_concurrent": 4}}, put_account, "on_account"),
        ("/models/new", MODEL, MODEL | {"max_interactions": 4}, PutModel, "as_model"),
        ("/webhooks/new", WEBHOOK, WEBHOOK | {"url": "https://second.test/"}, webhooks, "_write"),
    ],
    ids=["account", "model", "webhook"],
)
@pytest.mark.parametrize("conditional", [False, True])
def test_what_another_creates_in_between_is_not_overwritten(
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    theirs: Any,
    mine: Any,
    owner: Any,
    name: str,
    conditional: bool,
) -> None:
    """`owner`, `name`: what the effect calls first, after the condition was checked."""
    only_new = {"If-None-Match": "*"}
    real: Callable[..., Any] = getattr(owner, name)
    begun: list[str] = []

    def late(*arguments: Any, **named: Any) -> Any:
        if not begun:
            begun.append("their request is under way")
            put = api.operator.put(path, json=theirs, headers=only_new if conditional else {})
            begun[0] = put.headers["etag"]
        return real(*arguments, **named)

    with World(postgres_url) as world, Api(world) as api:
        monkeypatch.setattr(owner, name, late)
        refused = api.operator.put(path, json=mine, headers=only_new)
        assert answered(refused, 412)["code"] == "precondition_failed"
        assert api.operator.get(path).headers["etag"] == begun[0]


def test_the_version_of_budgets_does_not_change_with_what_is_spent(api: Api) -> None:
    budget = {"amount": "1", "currency": "USD", "hard_stop": True}
    put = api.operator.put("/accounts/acme/budgets/month", json=budget)
    api.world.run_session()
    [one] = api.get("/accounts/acme/budgets")["budgets"]
    assert one["stops_at"] is not None, "it is what stops the session next"
    assert api.operator.get("/accounts/acme/budgets").headers["etag"] == put.headers["etag"]
