"""Tokens of one account: they see and do what is its own, and learn nothing of another."""

import json
import re
from typing import Any

import pytest

from orchestrator.rules.values import Scope
from tests.api.stage import Api, answered, operations


@pytest.fixture
def two_accounts(api: Api) -> Api:
    """Return the API with sessions of `acme`, and an account `secretco` with a session, a queued one and a model."""
    answered(api.operator.put("/accounts/secretco", json={"plan": "payg", "currency": "USD"}))
    api.post("/accounts/secretco/credits", {"amount": "50", "currency": "USD", "key": "secretkey"})
    api.world.put_private_model("secretmodel", "secretco")
    api.create(account_id="secretco", model_id="llama", session_id="secretsession", name="secretname")
    api.create(account_id="secretco", session_id="secretother", name="secretname2", start=False)
    api.create(account_id="acme", session_id="mine", name="mine")
    api.world.settle()
    return api


#: What names something of the other account in a path, and in a body.
FOREIGN = {
    "session_id": "secretsession",
    "account_id": "secretco",
    "model_id": "secretmodel",
    "name": "alpha",
    "period": "month",
    "task_id": "secretjob",
}
BODIES: dict[str, Any] = {
    "/v1/sessions": {"account_id": "secretco", "model_id": "llama"},
    "/v1/interactions": {"batch": [{"session_id": "secretsession", "count": 1}]},
    "/v1/sessions:close": {"account_id": "secretco"},
    "/v1/sessions/{session_id}/extend": {"max_duration_seconds": 7200},
}


def test_a_token_of_one_account_sees_and_changes_nothing_of_another_over_every_route(
    two_accounts: Api,
) -> None:
    api = two_accounts
    api.post("/sessions/secretother/start", key="secretjob")
    before = _state(api)
    mine = api.client(Scope.OPERATE, Scope.REVEAL, account="acme")
    asked = 0
    for method, path, operation in operations():
        if not path.startswith("/v1"):
            continue
        filled = re.sub(r"\{(\w+)\}", lambda name: FOREIGN[name[1]], path)
        queries = [
            {},
            *({"account": "secretco"} for one in operation.get("parameters", []) if one["name"] == "account"),
        ]
        for query in queries:
            body = BODIES.get(path, {}) if method in {"POST", "PUT", "DELETE"} else None
            response = mine.request(method, api.url + filled, params=query, json=body)
            asked += 1
            about_another = "{" in path or query or body
            wanted = {403, 404} if about_another else {200, 403}
            assert response.status_code in wanted, (method, path, query, response.text)
            shown = json.dumps({**response.json(), "detail": "", "details": {}})
            assert "secret" not in shown.replace("secret_ref", ""), (method, path, query, shown)
    assert asked > 35
    assert _state(api) == before


def test_what_is_unknown_and_what_is_anothers_are_answered_alike(two_accounts: Api) -> None:
    api = two_accounts
    mine = api.client(Scope.OPERATE, Scope.REVEAL, account="acme")
    for path, foreign, unknown in (
        ("/sessions/{}", "secretsession", "nosuchsession"),
        ("/sessions/{}/explain", "secretsession", "nosuchsession"),
        ("/sessions/{}/endpoint", "secretsession", "nosuchsession"),
        ("/sessions/{}/events", "secretsession", "nosuchsession"),
        ("/accounts/{}", "secretco", "nosuchco"),
        ("/accounts/{}/ledger", "secretco", "nosuchco"),
        ("/accounts/{}/forecast", "secretco", "nosuchco"),
        ("/costs?account={}", "secretco", "nosuchco"),
        ("/accounts/{}/budgets", "secretco", "nosuchco"),
        ("/models/{}", "secretmodel", "nosuchmodel"),
        ("/jobs/{}", "secretjob", "nosuchjob"),
    ):
        one, other = mine.get(path.format(foreign)), mine.get(path.format(unknown))
        assert one.status_code == other.status_code == 404
        assert one.text.replace(foreign, "X") == other.text.replace(unknown, "X")
    for more in ({}, {"nodes": 0}, {"nodes": 99}):
        one, other = (
            mine.post("/sessions", json={"model_id": model_id, **more}, headers={"Idempotency-Key": model_id})
            for model_id in ("secretmodel", "nosuchmodel")
        )
        assert one.status_code == other.status_code
        assert one.text.replace("secretmodel", "X") == other.text.replace("nosuchmodel", "X")
        assert one.headers["idempotency-key"] == "secretmodel"
        assert other.headers["idempotency-key"] == "nosuchmodel"
    for verb in ("start", "close", "extend", "ping"):
        body = {"max_duration_seconds": 7200} if verb == "extend" else {}
        one = mine.post(f"/sessions/secretsession/{verb}", json=body)
        other = mine.post(f"/sessions/nosuchsession/{verb}", json=body)
        assert one.status_code == other.status_code == 404
        assert one.text.replace("secretsession", "X") == other.text.replace("nosuchsession", "X")


def test_a_token_of_one_account_does_what_is_its_own(two_accounts: Api) -> None:
    mine = two_accounts.client(Scope.OPERATE, Scope.REVEAL, account="acme")
    created = answered(mine.post("/sessions", json={"model_id": "llama", "name": "own"}), 201)
    assert created["account_id"] == "acme"
    assert {one["name"] for one in answered(mine.get("/sessions"))["items"]} == {"mine", "own"}
    assert [one["id"] for one in answered(mine.get("/accounts"))["items"]] == ["acme"]
    assert "secretmodel" not in {one["id"] for one in answered(mine.get("/models"))["items"]}
    assert answered(mine.get("/sessions/mine/endpoint", params={"reveal": True}))["secret"] == "sk-alpha"
    assert answered(mine.post("/sessions/mine/close"))["state"] == "stopping"


def test_a_key_of_one_account_tells_nothing_of_another_accounts(two_accounts: Api) -> None:
    api = two_accounts
    api.post("/sessions/secretsession/ping", key="shared")
    mine = api.client(Scope.OPERATE, account="acme")
    response = mine.post("/sessions/mine/ping", headers={"Idempotency-Key": "shared"})
    assert answered(response)["id"] == "mine"
    assert answered(mine.get("/jobs/shared"))["outcome"]["result"]["id"] == "mine"
    assert api.get("/jobs/acme shared")["outcome"]["result"]["id"] == "mine"
    api.post("/sessions/secretsession/ping", key="acme:guessed")
    assert answered(mine.get("/jobs/guessed"), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model_id": "llama", "session_id": "secretsession"}, 403),
        ({"model_id": "llama", "credential": "env:ALPHA"}, 403),
        (
            {
                "model_id": "llama",
                "attach": {"endpoint_url": "http://h", "secret_ref": "env:A", "model": "m"},
            },
            403,
        ),
        ({"model_id": "secretmodel"}, 404),
        ({"model_id": "nosuchmodel"}, 404),
        ({"model_id": "a\x00b"}, 422),
    ],
)
def test_a_token_of_one_account_reaches_no_further_with_a_new_session(
    two_accounts: Api, body: Any, status: int
) -> None:
    mine = two_accounts.client(Scope.OPERATE, account="acme")
    answered(mine.post("/sessions", json=body), status)


@pytest.mark.parametrize(
    "batch",
    [
        [{"session_id": "a\x00b", "count": 1}],
        [{"session_id": "\ud800", "count": 1}],
        [{"session_id": f"s{n}", "count": 1} for n in range(40_000)],
        [{"session_id": "mine", "count": 0}],
        [7],
    ],
    ids=["nul", "surrogate", "too many", "count", "number"],
)
def test_a_batch_that_is_no_request_is_refused_to_a_token_of_one_account_too(
    any_api: Api, batch: Any
) -> None:
    mine = any_api.client(Scope.OPERATE, account="acme")
    headers = {"Content-Type": "application/json"}
    response = mine.post("/interactions", content=json.dumps({"batch": batch}), headers=headers)
    assert answered(response, 422)["code"] == "invalid_request"


def _state(api: Api) -> Any:
    """Return all that the other account has."""
    sessions = [one for one in api.get("/sessions")["items"] if one["account_id"] == "secretco"]
    return (
        sessions,
        api.get("/accounts/secretco"),
        api.get("/models/secretmodel"),
        api.all_pages("/accounts/secretco/ledger"),
    )
