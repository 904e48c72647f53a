"""Who did what: the name of the token is kept with each change, and is shown in the session's history."""

from typing import Any

import pytest

from orchestrator.rules.values import Scope
from tests.api.stage import Api, answered


def changes(api: Api, session_id: str) -> list[tuple[str, str, Any]]:
    """Return job, author and arguments of each change that the session's history shows."""
    items = api.get(f"/sessions/{session_id}/events", limit=200)["items"]
    return [
        (change["job"].rpartition(".")[2], change["author"], change["arguments"])
        for change in (one["data"].get("change") for one in items)
        if change is not None
    ]


def test_a_session_says_who_changed_it(any_api: Api) -> None:
    api = any_api
    shop = api.client(Scope.OPERATE, account="acme", name="shop")
    desk = api.client(Scope.ADMIN, name="desk")
    session_id = answered(shop.post("/sessions", json={"model_id": "llama", "start": False}), 201)["id"]
    answered(shop.post(f"/sessions/{session_id}/start"))
    api.world.settle()
    answered(desk.post(f"/sessions/{session_id}/extend", json={"max_interactions": 9}))
    answered(desk.post(f"/sessions/{session_id}/ping"))
    answered(shop.post(f"/sessions/{session_id}/extend", json={"max_interactions": 1}), 422)
    body = {"reason": "operator", "detail": "maintenance"}
    answered(desk.post(f"/sessions/{session_id}/close", json=body))
    api.world.settle()
    answered(desk.post(f"/sessions/{session_id}/close"))
    expected = [
        ("create", "shop", {}),
        ("start", "shop", {}),
        ("extend", "desk", {"max_interactions": 9}),
        ("ping", "desk", {}),
        ("close", "desk", {"reason": "operator", "detail": "maintenance"}),
    ]
    assert changes(api, session_id) == expected, "refusals, and a close of what had ended, are no changes"
    shown = api.get(f"/sessions/{session_id}/explain")["changes"]
    assert [(one["job"], one["author"]) for one in shown] == [
        (f"orchestrator.session.{job}", author) for job, author, _ in expected
    ]
    answered(shop.delete(f"/sessions/{session_id}"))
    assert changes(api, session_id)[-1] == ("delete", "shop", {})


def test_a_repeated_request_is_one_change(any_api: Api) -> None:
    session_id = any_api.create(key="once")
    assert any_api.create(key="once") == session_id
    assert [one[0] for one in changes(any_api, session_id)] == ["create"]


def test_each_close_of_many_names_its_author(api: Api) -> None:
    ids = [api.create(name=f"s{n}", start=False) for n in range(2)]
    wanted = {"account_id": "acme", "detail": "maintenance"}
    plan = api.post("/sessions:close", wanted)["plan"]
    api.post("/sessions:close", wanted | {"plan": plan, "dry_run": False})
    for session_id in ids:
        assert changes(api, session_id)[-1] == ("close", "test", {"detail": "maintenance"})


def test_an_account_sees_who_changed_its_own_sessions_only(api: Api) -> None:
    api.world.open_account("other")
    api.create(account_id="other")
    shop = api.client(Scope.READ, account="acme", name="shop")
    assert answered(shop.get("/events", params={"type": "orchestrator.session"}))["items"] == []


OPERATIONS = {
    "check": ("/providers/alpha/check", "orchestrator.provider.check", "/providers/beta/check"),
    "release": (
        "/providers/alpha/release-brake",
        "orchestrator.provider.release_brake",
        "/providers/beta/release-brake",
    ),
    "reconcile": (
        "/reconcile?provider=morph",
        "orchestrator.reconcile",
        "/reconcile?provider=morph&dry_run=false",
    ),
}


@pytest.mark.parametrize(("path", "job", "other"), OPERATIONS.values(), ids=OPERATIONS.keys())
def test_what_operators_do_at_providers_is_kept_under_its_key(
    api: Api, path: str, job: str, other: str
) -> None:
    desk = api.client(Scope.ADMIN, name="desk")
    key = {"Idempotency-Key": "ops-1"}
    first, again = (desk.post(path, headers=key) for _ in range(2))
    assert answered(first) == answered(again)
    assert "Idempotency-Replayed" not in first.headers
    assert (first.headers["Idempotency-Key"], again.headers["Idempotency-Replayed"]) == ("ops-1", "true")
    kept = api.get("/jobs/ops-1")
    assert (kept["name"], kept["author"], kept["outcome"]) == (
        job,
        "desk",
        {"ok": True, "result": first.json()},
    )
    for another in (other, "/providers/none-of-these/check"):
        status = 404 if "none" in another else 422
        answered(desk.post(another, headers=key), status)
    assert answered(desk.post(other, headers=key), 422)["code"] == "conflict"
    answered(desk.post("/sessions", json={"account_id": "acme", "model_id": "llama"}, headers=key), 422)
    assert len(desk.post(path).headers["Idempotency-Key"]) == 36, "a key was made for it"


def test_an_operation_that_died_is_done_again_under_its_key(api: Api) -> None:
    database = api.world.services.database
    first = api.post("/providers/alpha/check", key="ops-1")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE inbox SET outcome = NULL WHERE task_id = 'ops-1'")
    assert api.get("/jobs/ops-1")["outcome"] is None
    assert api.post("/providers/alpha/check", key="ops-1")["ok"] == first["ok"]
    assert api.get("/jobs/ops-1")["outcome"]["ok"] is True
