"""The life of a session over HTTP."""

import threading
import time
from typing import Any

import httpx
import pytest

from orchestrator.api import listening_tokens
from orchestrator.rules.values import Scope
from tests.api.stage import Api, answered, names
from tests.waiting import eventually
from tests.world import HOUR, MINUTE


def test_a_session_is_created_watched_extended_and_closed(any_api: Api) -> None:
    api = any_api
    session_id = api.create(name="first", stop={"max_duration_seconds": 3600})
    assert api.get(f"/sessions/{session_id}")["state"] == "starting"
    api.world.settle()
    session = api.get(f"/sessions/{session_id}")
    assert session == api.world.view(session_id)
    assert session["state"] == "running"
    assert api.get(f"/sessions/{session_id}/endpoint")["model"] == "llama-3"
    extended = api.post(f"/sessions/{session_id}/extend", {"max_duration_seconds": 7200})
    assert extended["stop_at"] > session["stop_at"]
    assert api.post(f"/sessions/{session_id}/ping")["id"] == session_id
    assert {one["reason"] for one in api.get(f"/sessions/{session_id}/explain")["stops"]} >= {"max_duration"}
    closed = api.post(f"/sessions/{session_id}/close", {"detail": "no longer needed"})
    assert (closed["state"], closed["stop_detail"]) == ("stopping", "no longer needed")
    api.world.settle()
    assert api.get(f"/sessions/{session_id}")["state"] == "stopped"
    events = api.get(f"/sessions/{session_id}/events")["items"]
    assert [event["type"].rpartition(".")[2] for event in events] == api.world.events(session_id)
    assert answered(api.operator.delete(f"/sessions/{session_id}"))["deleted_at"] is not None
    assert api.get("/sessions")["items"] == []
    assert api.get(f"/sessions/{session_id}")["deleted_at"] is not None


def test_the_same_key_gives_the_first_outcome_and_another_body_is_refused(any_api: Api) -> None:
    api, body = any_api, {"account_id": "acme", "model_id": "llama", "name": "first"}
    first = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-1"})
    again = api.operator.post("/sessions", json=body | {"nodes": 1}, headers={"Idempotency-Key": "order-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["idempotency-key"] == "order-1"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = api.operator.post("/sessions", json=body | {"nodes": 2}, headers={"Idempotency-Key": "order-1"})
    assert answered(other, 422)["code"] == "conflict"
    closing = api.operator.post(
        f"/sessions/{first.json()['id']}/close", headers={"Idempotency-Key": "order-1"}
    )
    assert answered(closing, 422)["code"] == "conflict"
    assert len(api.get("/sessions")["items"]) == 1
    refused = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-2"})
    assert answered(refused, 409)["code"] == "name_taken"
    repeated = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-2"})
    assert answered(repeated, 409)["code"] == "name_taken"
    assert repeated.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a b", "k" * 181, "\xe4"])
def test_a_key_that_cannot_be_one_is_refused(api: Api, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    body = {"account_id": "acme", "model_id": "llama"}
    problem = answered(api.operator.post("/sessions", json=body, headers=headers), 422)
    assert problem["faults"][0]["loc"] == "Idempotency-Key"
    assert api.get("/sessions")["items"] == []


def test_a_job_over_the_broker_and_a_request_under_the_same_key_are_one(api: Api) -> None:
    body = {"account_id": "acme", "model_id": "llama", "name": "first"}
    sent = api.world.job("session.create", task_id="order-1", **body)
    again = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-1"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (sent["result"], "true")


def test_who_did_it_is_kept_with_the_job(api: Api) -> None:
    shop = api.client(Scope.OPERATE, name="shop")
    body = {"account_id": "acme", "model_id": "llama"}
    shop.post("/sessions", json=body, headers={"Idempotency-Key": "order-1"})
    job = api.get("/jobs/order-1")
    assert (job["name"], job["author"], job["outcome"]["ok"]) == ("orchestrator.session.create", "shop", True)
    api.world.job("session.create", task_id="order-2", **body)
    assert api.get("/jobs/order-2")["author"] is None
    assert api.get("/jobs/order-3", status=404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model_id": "llama"}, 422, "invalid_request"),
        ({"account_id": "acme", "model_id": "llama", "nodes": "1"}, 422, "invalid_request"),
        ({"account_id": "acme", "model_id": "none"}, 404, "unknown_model"),
        ({"account_id": "none", "model_id": "llama"}, 404, "unknown_account"),
        ({"account_id": "acme", "model_id": "base"}, 422, "model_not_eligible"),
        ({"account_id": "acme", "model_id": "llama", "nodes": 3}, 422, "quota_nodes_exceeded"),
    ],
)
def test_a_refusal_has_the_contracts_code(api: Api, body: Any, status: int, code: str) -> None:
    problem = api.post("/sessions", body, status=status)
    assert problem["code"] == code
    assert api.get("/sessions")["items"] == []


def test_each_fault_is_named_by_its_path(api: Api) -> None:
    body = {"account_id": "acme", "model_id": "llama", "nodes": 0, "stop": {"max_cost": 1.5}, "colour": "red"}
    faults = api.post("/sessions", body, status=422)["faults"]
    assert {fault["loc"] for fault in faults} == {"nodes", "stop.max_cost", "colour"}


def test_an_endpoint_belongs_to_a_running_session_and_its_secret_needs_a_scope(api: Api) -> None:
    session_id = api.create()
    assert api.get(f"/sessions/{session_id}/endpoint", status=409)["code"] == "invalid_state"
    api.world.settle()
    assert "secret" not in api.get(f"/sessions/{session_id}/endpoint")
    assert api.get(f"/sessions/{session_id}/endpoint", reveal=True)["secret"] == "sk-alpha"
    reader = api.client(Scope.READ)
    refused = reader.get(f"/sessions/{session_id}/endpoint", params={"reveal": True})
    assert answered(refused, 403)["code"] == "forbidden"
    del api.world.services.secrets._environ["ALPHA"]  # type: ignore[attr-defined]
    assert api.get(f"/sessions/{session_id}/endpoint", status=409, reveal=True)["code"] == "secret_missing"


def test_only_an_admin_ends_a_close_without_the_providers_proof(api: Api) -> None:
    session_id = api.world.run_session("moral")
    operate = api.client(Scope.OPERATE)
    for body in ({"reason": "operator"}, {"confirm": True}, {"force": True}):
        assert answered(operate.post(f"/sessions/{session_id}/close", json=body), 403)["code"] == "forbidden"
    assert answered(operate.post(f"/sessions/{session_id}/close"))["state"] == "stopping"
    proof = {"reason": "operator", "confirm": True}
    assert api.post(f"/sessions/{session_id}/close", proof)["state"] == "stopped"


def test_a_forced_close_keeps_the_name_of_the_token(api: Api) -> None:
    session_id = api.world.run_session("moral")
    admin = api.client(Scope.ADMIN, name="on-call")
    api.world.server.fault("close_fails", operation="close")
    force = {"reason": "operator", "force": True, "detail": "the platform is gone"}
    [close] = answered(admin.post(f"/sessions/{session_id}/close", json=force))["forced_closes"]
    assert (close["by"], close["why"]) == ("on-call", "the platform is gone")


def test_interactions_are_counted_once_a_key(api: Api) -> None:
    session_id = api.world.run_session()
    batch = {"batch": [{"session_id": session_id, "count": 3}, {"session_id": "none", "count": 1}]}
    for _ in range(2):
        done = api.post("/interactions", batch, key="batch-1")
        assert (done["accepted"], [one["code"] for one in done["rejected"]]) == (1, ["unknown_session"])
    assert api.get(f"/sessions/{session_id}")["interactions"] == 3


# lists


def test_pages_do_not_move_while_sessions_are_created_and_deleted(any_api: Api) -> None:
    api = any_api
    for n in range(7):
        api.create(name=f"s{n}", start=False)
        if n % 2:  # several share an instant
            api.world.clock.now += MINUTE
    page = api.get("/sessions", limit=3)
    seen = names(page["items"])
    api.create(name="late", start=False)
    api.world.clock.now += MINUTE
    api.create(name="later", start=False)
    answered(api.operator.delete(f"/sessions/{page['items'][0]['id']}"))
    while page["next"] is not None:
        page = api.get("/sessions", limit=3, after=page["next"])
        seen += names(page["items"])
    assert len(seen) == 7
    assert set(seen) == {f"s{n}" for n in range(7)}


def test_sessions_are_filtered(any_api: Api) -> None:
    api = any_api
    api.post("/accounts/beta/credits", status=404, body={"amount": "1", "currency": "USD", "key": "k"})
    answered(api.operator.put("/accounts/beta", json={"plan": "payg", "currency": "USD"}))
    api.world.run_session("llama", name="one")
    since = api.world.clock.now + HOUR
    api.world.pass_time(HOUR)
    api.create(name="two", model_id="pair", start=False)
    api.create(name="two", account_id="beta", start=False)

    def found(**query: Any) -> list[str]:
        return [f"{one['account_id']}/{one['name']}" for one in api.get("/sessions", **query)["items"]]

    assert found(state="running") == ["acme/one"]
    assert sorted(found(state=["created", "running"])) == ["acme/one", "acme/two", "beta/two"]
    assert found(account="beta") == ["beta/two"]
    assert found(provider="alpha") == ["acme/one"]
    assert found(model="pair") == ["acme/two"]
    assert sorted(found(name="two")) == ["acme/two", "beta/two"]
    assert found(name="two", account="acme") == ["acme/two"]
    assert sorted(found(since=since.isoformat())) == ["acme/two", "beta/two"]
    assert found(unproven=True) == []
    assert found(unproven=True, state="running") == []


def test_a_close_without_proof_is_found(api: Api) -> None:
    session_id = api.world.run_session("moral", name="one")
    api.world.server.fault("close_fails", operation="close")
    api.post(f"/sessions/{session_id}/close")
    api.world.settle()
    assert names(api.get("/sessions", unproven=True)["items"]) == ["one"]
    [entry] = api.get("/unproven")["items"]
    assert (entry["session_id"], entry["attempts"] > 0) == (session_id, True)


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"limit": 0}, "query.limit"),
        ({"limit": 201}, "query.limit"),
        ({"state": "asleep"}, "query.state[0]"),
        ({"since": "yesterday"}, "query.since"),
        ({"since": "0001-01-01T00:00:00+23:59"}, "query.since"),
        ({"after": "nonsense"}, "after"),
        ({"after": "////"}, "after"),
        ({"account": "a b"}, "query.account"),
        ({"acount": "acme"}, "query"),
        ({"name": "\x00"}, "query.name"),
    ],
)
def test_a_wrong_query_is_refused_by_its_name(any_api: Api, query: Any, loc: str) -> None:
    assert [fault["loc"] for fault in any_api.get("/sessions", status=422, **query)["faults"]] == [loc]


# waiting


def test_a_request_waits_until_the_session_runs(api: Api) -> None:
    session_id = api.create()
    answers: list[httpx.Response] = []

    def ask() -> None:
        where = f"/sessions/{session_id}?wait_for=running&timeout=30"
        answers.append(api.operator.get(where))

    began = time.monotonic()
    waiting = threading.Thread(target=ask)
    waiting.start()
    eventually(lambda: api.process.feed._listeners, "the request waits")
    assert answers == []
    api.world.settle()
    waiting.join(30)
    assert answers[0].json()["state"] == "running"
    assert time.monotonic() - began < 20


def test_a_wait_ends_with_its_time_or_with_the_session(api: Api) -> None:
    session_id = api.create()
    session = api.get(f"/sessions/{session_id}", wait_for="running", timeout=0.1)
    assert session["state"] == "starting"
    api.post(f"/sessions/{session_id}/close")
    api.world.settle()
    assert api.get(f"/sessions/{session_id}", wait_for="running", timeout=60)["state"] == "stopped"
    assert (
        api.get(f"/sessions/{session_id}", status=422, wait_for="running", timeout=61)["code"]
        == "invalid_request"
    )


def test_a_wait_ends_with_its_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening_tokens, "CHECKED_EVERY", 0.1)
    session_id, token = api.create(start=False), api.token(Scope.READ)
    answers: list[httpx.Response] = []
    client = api.client_with(token)

    def ask() -> None:
        answers.append(client.get(f"/sessions/{session_id}?wait_for=running&timeout=30"))

    waiting = threading.Thread(target=ask)
    waiting.start()
    eventually(lambda: api.process.feed._listeners, "the request waits")
    assert answers == []
    api.world.services.database.transact(lambda tx: tx.tokens.revoke(token.split("_")[1], tx.now()))
    waiting.join(15)
    assert answered(answers[0], 401)["code"] == "unauthenticated"
    assert answers[0].headers["www-authenticate"].startswith("Bearer")


def test_sessions_are_found_by_the_beginning_of_a_name_or_an_id(api: Api) -> None:
    first, second = (api.create(name=name, start=False) for name in ("batch-1", "batch-2"))
    api.create(name="other", start=False)
    assert {one["id"] for one in api.get("/sessions", search="batch-")["items"]} == {first, second}
    assert [one["id"] for one in api.get("/sessions", search=first[:13])["items"]] == [first]
    assert api.get("/sessions", search="BATCH")["items"] == []
