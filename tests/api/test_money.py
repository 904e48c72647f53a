"""Accounts, their ledger, models, providers and the installation over HTTP."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.client import ApiClient, calls
from orchestrator.flows.operations.write_minutes import write_minutes
from orchestrator.rules.values import Scope
from tests.api.stage import Api, answered
from tests.world import HOUR, MINUTE

MODEL = {
    "provider": "alpha",
    "provider_model_id": "llama-3",
    "type": "LLM",
    "size": "8B",
    "learning_stage": "Instruction-tuned",
    "price_per_node_hour": "1.20",
    "currency": "USD",
}
CREDIT = {"amount": "5.50", "currency": "USD", "key": "invoice-1"}


def test_an_account_is_put_credited_and_debited(any_api: Api) -> None:
    api = any_api
    put = answered(api.operator.put("/accounts/shop", json={"plan": "payg", "currency": "USD"}))
    assert (put["id"], put["balance"]) == ("shop", "0.00")
    assert api.post("/accounts/shop/credits", CREDIT)["balance"] == "5.50"
    assert api.post("/accounts/shop/credits", CREDIT)["balance"] == "5.50", "the same key credits once"
    debit = CREDIT | {"amount": "1", "reason": "mistyped", "author": "ops"}
    assert api.post("/accounts/shop/debits", debit)["balance"] == "4.50"
    assert api.get("/accounts/shop")["quota"]["sessions"]["allowed"] == 20
    assert [one["id"] for one in api.all_pages("/accounts", limit=1)] == ["acme", "shop"]
    refused = api.post("/accounts/shop/credits", CREDIT | {"currency": "EUR", "key": "2"}, status=422)
    assert refused["code"] == "currency_mismatch"
    named = api.post("/accounts/shop/credits", CREDIT | {"account_id": "acme"}, status=422)
    assert named["faults"][0]["loc"] == "account_id"


def test_only_the_version_that_was_read_is_changed(any_api: Api) -> None:
    api = any_api
    body = {"plan": "payg", "currency": "USD", "quota": {"max_concurrent": 3}}
    version = api.operator.get("/accounts/acme").headers["etag"]

    def put(match: str, key: str, body: Any = body) -> Any:
        headers = {"If-Match": match, "Idempotency-Key": key}
        return api.operator.put("/accounts/acme", json=body, headers=headers)

    first = put(version, "1")
    assert answered(first)["own_quota"] == {"max_concurrent": 3}
    assert first.headers["etag"] == api.operator.get("/accounts/acme").headers["etag"] != version
    late = put(version, "2", body | {"quota": {"max_concurrent": 9}})
    assert answered(late, 412)["code"] == "precondition_failed"
    assert api.get("/accounts/acme")["own_quota"] == {"max_concurrent": 3}
    again = put(version, "1")
    assert (answered(again)["own_quota"], again.headers["idempotency-replayed"]) == (
        {"max_concurrent": 3},
        "true",
    )
    assert again.headers["etag"] == first.headers["etag"], "of the outcome, not of what came later"
    assert put("*", "3").status_code == 200
    new = api.operator.put("/accounts/new", json=body, headers={"If-Match": "*"})
    assert answered(new, 412)["code"] == "precondition_failed"
    assert api.get("/accounts/new", status=404)["code"] == "unknown_account"
    fresh = api.operator.put("/accounts/new", json=body, headers={"If-None-Match": "*"})
    assert answered(fresh)["id"] == "new"
    twice = api.operator.put("/accounts/new", json=body, headers={"If-None-Match": "*"})
    assert answered(twice, 412)["code"] == "precondition_failed"
    charged = api.operator.get("/accounts/acme").headers["etag"]
    api.post("/accounts/acme/credits", CREDIT)
    assert api.operator.get("/accounts/acme").headers["etag"] == charged, "money is no part of what is put"


def test_models_are_put_with_a_version(any_api: Api) -> None:
    api = any_api
    created = api.operator.put("/models/meta/llama:8b", json=MODEL, headers={"If-None-Match": "*"})
    assert answered(created)["id"] == "meta/llama:8b"
    read = api.operator.get("/models/meta/llama:8b")
    assert (read.json(), read.headers["etag"]) == (created.json(), created.headers["etag"])
    changed = api.operator.put(
        "/models/meta/llama:8b",
        json=MODEL | {"price_per_node_hour": "2"},
        headers={"If-Match": read.headers["etag"]},
    )
    assert answered(changed)["price_per_node_hour"] == "2.00"
    late = api.operator.put("/models/meta/llama:8b", json=MODEL, headers={"If-Match": read.headers["etag"]})
    assert answered(late, 412)["code"] == "precondition_failed"
    assert "meta/llama:8b" in [one["id"] for one in api.all_pages("/models", limit=2)]
    assert (
        answered(api.operator.put("/models/x", json=MODEL | {"provider": "none"}), 422)["code"]
        == "invalid_request"
    )


def test_a_ledger_is_read_by_pages_and_as_csv(any_api: Api) -> None:
    api = any_api
    for n in range(5):
        api.post("/accounts/acme/credits", CREDIT | {"key": f"=SUM({n})"})
    lines = api.all_pages("/accounts/acme/ledger", limit=2)
    assert [line["balance"] for line in lines] == ["127.50", "122.00", "116.50", "111.00", "105.50", "100.00"]
    response = api.operator.get("/accounts/acme/ledger", headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["balance"] for row in rows] == [line["balance"] for line in lines]
    assert [row["id"] for row in rows] == [str(line["id"]) for line in lines]
    assert not any(value.startswith("=") for row in rows for value in row.values())


def test_a_long_ledger_is_streamed_whole(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.api.routes.ledgers.BATCH", 2)
    for n in range(6):
        api.post("/accounts/acme/credits", CREDIT | {"key": str(n)})
    response = api.operator.get("/accounts/acme/ledger", headers={"Accept": "text/csv"})
    ids = [row["id"] for row in csv.DictReader(io.StringIO(response.text))]
    assert ids == [str(line["id"]) for line in api.all_pages("/accounts/acme/ledger")]


def test_a_forecast_says_what_burns(api: Api) -> None:
    session_id = api.world.run_session()
    forecast = api.get("/accounts/acme/forecast")
    assert forecast["burn_per_hour"] == "1.20"
    assert [one["id"] for one in forecast["sessions"]] == [session_id]


def test_costs_are_spent_burn_and_are_expected(any_api: Api) -> None:
    api = any_api
    api.world.run_session(stop={"max_duration_seconds": 7200})
    api.world.pass_time(HOUR * 1.5)
    found = api.get("/costs", by="model", since="2026-01-01")
    ledger = api.get("/accounts/acme/ledger")["items"]
    charged = sum(Decimal(line["amount"]) for line in ledger if line["kind"] == "charge")
    [line] = found["items"]
    assert (line["key"], line["burning_per_hour"], line["expected"]) == ("llama", "1.20", "2.40")
    assert Decimal(line["spent"]) == charged
    assert found["totals"] == [line | {"key": None}]
    assert api.get("/costs", account="acme")["items"][0]["key"] == "acme"
    [day] = api.get("/costs", by="day", since="2026-01-01")["items"]
    assert (day["key"], day["expected"]) == ("2026-01-01", None)
    assert "in the future" in api.get("/costs", since="2999-01-01", by="day", status=422)["detail"]
    assert api.get("/costs", account="nobody", status=404)["code"] == "unknown_account"
    assert api.get("/costs", by="hour", status=422)["faults"][0]["loc"] == "query.by"


def test_budgets_are_put_shown_and_taken_away(any_api: Api) -> None:
    api = any_api
    body = {"amount": "5", "currency": "USD", "max_burn_per_hour": "9.00"}
    put = answered(api.operator.put("/accounts/acme/budgets/month", json=body))
    [budget] = put["budgets"]
    assert (budget["amount"], budget["used"], budget["max_burn_per_hour"]) == ("5.00", "0.00", "9.00")
    api.world.run_session()
    used = api.get("/accounts/acme/budgets")["budgets"][0]
    assert (used["period"], used["used"], used["left"]) == ("month", "0.02", "4.98")
    named = api.operator.put("/accounts/acme/budgets/month", json=body | {"period": "day"})
    assert answered(named, 422)["faults"][0]["loc"] == "period"
    unknown = api.operator.put("/accounts/nobody/budgets/day", json=body)
    assert answered(unknown, 404)["code"] == "unknown_account"
    assert (
        answered(api.operator.put("/accounts/acme/budgets/month", json={"currency": "USD"}))["budgets"] == []
    )


def test_a_budget_that_changed_since_it_was_read_is_not_overwritten(any_api: Api) -> None:
    api, path = any_api, "/accounts/acme/budgets"
    body = {"amount": "5", "currency": "USD"}
    empty = api.operator.get(path).headers["etag"]
    mine = api.operator.put(f"{path}/month", json=body, headers={"If-Match": empty})
    assert mine.headers["etag"] == api.operator.get(path).headers["etag"] != empty
    late = api.operator.put(f"{path}/month", json={"currency": "USD"}, headers={"If-Match": empty})
    assert answered(late, 412)["code"] == "precondition_failed"
    assert api.get(path)["budgets"][0]["amount"] == "5.00"
    api.world.run_session()
    api.world.pass_time(3 * MINUTE)
    spent = api.operator.get(path)
    assert spent.json()["budgets"][0]["used"] != "0.00"
    assert spent.headers["etag"] == mine.headers["etag"], "what is spent is no part of what is put"
    answered(api.operator.put(f"{path}/day", json=body, headers={"If-Match": spent.headers["etag"]}))
    nobody = api.operator.put("/accounts/nobody/budgets/day", json=body, headers={"If-Match": empty})
    assert answered(nobody, 412)["code"] == "precondition_failed"


def test_providers_are_shown_checked_and_released(api: Api) -> None:
    assert [one["name"] for one in api.get("/providers")["items"]] == ["alpha", "beta", "morph"]
    alpha = api.get("/providers/alpha")
    assert [one["ref"] for one in alpha["credentials"]] == ["env:ALPHA"]
    checked = api.post("/providers/alpha/check")
    assert checked["ok"] is True
    assert "balance" in {one["what"] for one in checked["items"]}
    assert api.post("/providers/alpha/release-brake") == {"provider": "alpha", "released": 0}
    for path in ("/providers/none/check", "/providers/none/release-brake", "/reconcile?provider=none"):
        assert api.post(path, status=404)["code"] == "not_found"
    assert api.get("/providers/none", status=404)["code"] == "not_found"


def test_the_last_hour_is_shown_of_one_provider_and_of_all(any_api: Api) -> None:
    api = any_api
    api.world.run_session()
    api.world.pass_time(2 * MINUTE)
    write_minutes(api.world.services)
    with ApiClient(api.url, api.token(Scope.READ)) as client:
        overview, alpha = client.send(calls.get_overview()), client.send(calls.get_provider("alpha"))
    assert (overview.burning_per_hour, overview.money_at_risk) == ({"USD": "1.20"}, {})
    assert [(one.state, one.count) for one in overview.sessions if one.provider == "alpha"] == [
        ("running", 1)
    ]
    assert overview.last_hour.pings.count == alpha.last_hour.pings.count >= 3
    assert alpha.last_hour.pings.by_verdict["ALIVE"] == alpha.last_hour.pings.count
    assert alpha.last_hour.pings.cost_usd == "0.00"
    [sampled] = [one.sample for one in overview.last_hour.minutes if one.sample is not None]
    assert (sampled.sessions, sampled.burning_per_hour) == ({"running": 1}, {"USD": "1.20"})
    assert alpha.card is not None
    assert alpha.card["lifecycle"]["managed"] is False
    for path in ("/overview", "/providers/alpha"):
        assert api.client(Scope.READ, account="acme").get(path).status_code == 403


def test_reconcile_changes_nothing_unless_it_is_asked_to(api: Api) -> None:
    session_id = api.world.run_session("moral")
    assert api.post("/reconcile?provider=morph") == {"dry_run": True, "lists": [], "possible_orphans": []}
    assert api.post("/reconcile?dry_run=false")["dry_run"] is False
    assert api.get(f"/sessions/{session_id}")["state"] == "running"


def test_the_queue_says_who_waits_for_what(any_api: Api) -> None:
    api = any_api
    for name in ("one", "two", "three", "four"):
        api.create(name=name, on_quota="queue")
        api.world.clock.now += MINUTE
    waiting = api.all_pages("/queue", limit=1)
    assert [one["name"] for one in waiting] == ["three", "four"]
    assert [one["position"] for one in waiting] == [1, 2]
    assert waiting[0]["waits_for"] == "quota_concurrent_exceeded"
    assert waiting[0]["waited_seconds"] == 120
    assert api.get("/queue", account="acme")["items"] == waiting


def test_alarms_and_the_audit_are_shown(api: Api) -> None:
    assert api.get("/alarms") == {"providers": [], "installation": []}
    audit = api.get("/audit")
    assert (audit["ok"], audit["violations"]) == (True, [])
    assert {"check", "meaning", "violations"} == set(audit["checks"][0])


# many at once


def test_many_are_closed_by_a_plan_and_no_others(any_api: Api) -> None:
    api = any_api
    ids = {api.create(name=f"s{n}", start=False) for n in range(3)}
    wanted = {"account_id": "acme", "state": ["created", "running"], "detail": "maintenance"}
    plan = api.post("/sessions:close", wanted)
    assert (plan["count"], plan["accounts"]) == (3, ["acme"])
    assert {one["id"] for one in plan["sample"]} == ids
    assert {one["state"] for one in api.get("/sessions")["items"]} == {"created"}, "a dry run changes nothing"
    execute = wanted | {"dry_run": False, "plan": plan["plan"]}
    late = api.create(name="late", start=False)
    assert api.post("/sessions:close", execute, status=409)["code"] == "plan_changed"
    api.operator.delete(f"/sessions/{late}")
    answered(api.operator.delete(f"/sessions/{min(ids)}"))  # fewer than planned are no surprise
    done = api.post("/sessions:close", execute, key="close-1")
    assert done == {"count": 2, "closed": 2, "refused": []}
    assert {one["state"] for one in api.get("/sessions")["items"]} == {"stopped"}
    assert {one["stop_detail"] for one in api.get("/sessions")["items"]} == {"maintenance"}
    assert api.post("/sessions:close", execute)["count"] == 0


def test_a_repeated_close_of_many_gets_the_first_answer(any_api: Api) -> None:
    api = any_api
    for n in range(2):
        api.create(name=f"s{n}", start=False)
    execute = {"dry_run": False, "plan": api.post("/sessions:close", {})["plan"]}
    first = api.operator.post("/sessions:close", json=execute, headers={"Idempotency-Key": "many"})
    api.create(name="late", start=False)  # the plan does not hold it
    again = api.operator.post("/sessions:close", json=execute, headers={"Idempotency-Key": "many"})
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert (first.json()["closed"], again.headers["Idempotency-Replayed"]) == (2, "true")
    assert (
        api.post("/sessions:close", execute | {"detail": "x"}, key="many", status=422)["code"] == "conflict"
    )
    assert api.post("/sessions", {"account_id": "acme", "model_id": "llama"}, key="many", status=422)
    assert [one["name"] for one in api.get("/sessions", state="created")["items"]] == ["late"]


def test_a_close_of_many_that_was_interrupted_goes_on(any_api: Api) -> None:
    """What was closed by then counts, and a session that came later does not stop it."""
    api = any_api
    ids = sorted(api.create(name=f"s{n}", start=False) for n in range(2))
    execute = {"dry_run": False, "plan": api.post("/sessions:close", {})["plan"]}
    api.post("/sessions:close", execute, key="many")
    with api.world.services.database.engine.begin() as connection:  # it died before its answer was kept
        undone = text("UPDATE inbox SET outcome = NULL, parts = :parts WHERE task_id = 'many'")
        connection.execute(undone, {"parts": json.dumps({"ids": ids})})
    api.create(name="late", start=False)
    assert api.post("/sessions:close", execute, key="many") == {"count": 2, "closed": 2, "refused": []}


def test_a_body_where_only_the_query_counts_is_refused(api: Api) -> None:
    for path in ("/reconcile", "/providers/morph/check", "/providers/morph/release-brake"):
        assert api.post(path, {"dry_run": False}, status=422)["faults"][0]["loc"] == "request"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({}, 200, None),
        ({"plan": None}, 422, "invalid_request"),
        ({"plan": "nonsense"}, 409, "plan_changed"),
        ({"plan": "AAAA"}, 409, "plan_changed"),
        ({"detail": "another"}, 409, "plan_changed"),
        ({"model_id": "llama"}, 409, "plan_changed"),
        ({"state": ["stopped"]}, 422, "invalid_request"),
        ({"colour": "red"}, 422, "invalid_request"),
    ],
)
def test_a_plan_is_of_one_request(api: Api, change: Any, status: int, code: str | None) -> None:
    api.create(start=False)
    wanted: dict[str, Any] = {"account_id": "acme"}
    plan = api.post("/sessions:close", wanted)["plan"]
    said = api.post("/sessions:close", wanted | {"dry_run": False, "plan": plan} | change, status=status)
    assert said.get("code") == code


def test_a_plan_expires(api: Api) -> None:
    api.create(start=False)
    plan = api.post("/sessions:close", {})["plan"]
    api.world.clock.now += HOUR
    assert api.post("/sessions:close", {"dry_run": False, "plan": plan}, status=409)["code"] == "plan_changed"


def test_a_plan_shows_what_burns(api: Api) -> None:
    api.world.run_session()
    api.world.clock.now += HOUR
    plan = api.post("/sessions:close", {})
    assert plan["burn_per_hour"] == {"USD": "1.20"}
    assert plan["cost"]["USD"] >= "1.20"


def test_a_token_of_one_account_closes_only_its_own(api: Api) -> None:
    answered(api.operator.put("/accounts/other", json={"plan": "payg", "currency": "USD"}))
    api.create(account_id="other", start=False)
    api.create(name="mine", start=False)
    mine = api.client(Scope.OPERATE, account="acme")
    plan = answered(mine.post("/sessions:close", json={}))
    assert [one["name"] for one in plan["sample"]] == ["mine"]
    done = answered(mine.post("/sessions:close", json={"dry_run": False, "plan": plan["plan"]}))
    assert done["closed"] == 1
    assert (
        answered(mine.post("/sessions:close", json={"account_id": "other"}), 404)["code"] == "unknown_account"
    )
    assert answered(mine.post("/sessions:close", json={"reason": "operator"}), 403)["code"] == "forbidden"


def test_many_are_chosen_by_conditions(any_api: Api) -> None:
    api = any_api
    kept, old = (api.create(name=name, start=False) for name in ("kept", "old"))
    api.world.jump(HOUR)
    new = api.create(name="new", start=False)
    wanted = {"where": "state=created and name!=kept and age>=1h", "detail": "old"}
    plan = api.post("/sessions:close", wanted)
    assert (plan["count"], [one["id"] for one in plan["sample"]]) == (1, [old])
    api.world.jump(10 * MINUTE)
    assert api.post("/sessions:close", wanted | {"dry_run": False, "plan": plan["plan"]})["closed"] == 1
    states = {one["id"]: one["state"] for one in api.get("/sessions")["items"]}
    assert states == {kept: "created", old: "stopped", new: "created"}
    assert api.post("/sessions:close", {"where": "account=other", "account_id": "acme"})["count"] == 0
    fault = api.post("/sessions:close", {"where": "age>soon"}, status=422)["faults"][0]
    assert (fault["loc"], fault["msg"]) == (
        "where",
        "at character 5: age must be a duration such as 90s or 1h30m, not 'soon'",
    )
