"""Jobs: one outcome for each task, and a refusal that changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.flows.jobs import perform as performing
from orchestrator.flows.jobs.perform import perform
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.states import State
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.flows.dumps import dump
from tests.world import MINUTE, SECOND, World

CREATE = {"account_id": "acme", "model_id": "llama"}
CREDIT = {"account_id": "late", "amount": "5", "currency": "USD", "key": "1"}
Kwargs = dict[str, Any]
Refused = tuple[str, Kwargs]


def test_the_same_task_returns_its_first_outcome(any_world: MakeWorld) -> None:
    world = any_world()
    first = world.job("session.create", task_id="once", **CREATE)
    world.settle()
    before = dump(world)
    outcome = world.job("session.create", task_id="once", **CREATE)
    assert outcome == first
    assert dump(world) == before


@pytest.mark.parametrize(
    "again",
    [
        pytest.param({"model_id": "llama", "account_id": "acme"}, id="in another order"),
        pytest.param({**CREATE, "nodes": 1, "stop": {}, "failover": False}, id="with defaults spelled out"),
    ],
)
def test_the_same_content_is_the_same_job_however_it_is_written(world: World, again: Kwargs) -> None:
    first = world.job("session.create", task_id="once", **CREATE)
    outcome = world.job("session.create", task_id="once", **again)
    assert outcome == first


@pytest.mark.parametrize(
    ("name", "again"),
    [
        pytest.param("session.create", {**CREATE, "nodes": 2}, id="other arguments"),
        pytest.param("session.create", {**CREATE, "nodes": "many"}, id="invalid arguments"),
        pytest.param("session.create", {**CREATE, "metadata": {"a": float("nan")}}, id="no JSON"),
        pytest.param(
            "account.put", {"account_id": "acme", "plan": "payg", "currency": "USD"}, id="other job"
        ),
    ],
)
def test_a_task_id_that_comes_again_for_something_else_is_a_conflict(
    any_world: MakeWorld, name: str, again: Kwargs
) -> None:
    world = any_world()
    first = world.job("session.create", task_id="once", **CREATE)
    before = dump(world)
    outcome = world.job(name, task_id="once", **again)
    assert outcome["error"]["code"] == "conflict"
    outcome = world.job("session.create", task_id="once", **CREATE)
    assert outcome == first, "which keeps its outcome"
    assert dump(world) == before


def test_an_invalid_job_that_comes_again_returns_its_first_outcome(world: World) -> None:
    first = world.job("session.create", task_id="once", nodes="many", **CREATE)
    assert first["error"]["code"] == "invalid_request"
    outcome = world.job("session.create", task_id="once", **CREATE, nodes="many")
    assert outcome == first
    outcome = world.job("session.create", task_id="once", **CREATE)
    assert outcome["error"]["code"] == "conflict"


def test_a_job_of_an_earlier_release_is_known_by_its_name(world: World) -> None:
    done = {"ok": False, "error": {"code": "no_capacity", "message": "no key is free", "details": {}}}
    name = "orchestrator.session.create"

    def came(tx: Transaction) -> None:
        tx.inbox.take("once", name, tx.now())
        tx.inbox.settle("once", done)

    world.services.database.transact(came)
    outcome = world.job("session.create", task_id="once", **CREATE)
    assert outcome == done
    outcome = world.job("account.put", task_id="once", account_id="a")
    assert outcome["error"]["code"] == "conflict"


@pytest.mark.parametrize("task_id", ["", "x" * 256, "a\nb", "\ud800"])
def test_a_task_id_under_which_nothing_can_be_kept_is_refused(world: World, task_id: str) -> None:
    before = dump(world)
    outcome = perform(world.services, task_id, "orchestrator.session.create", CREATE)
    assert outcome["error"]["code"] == ("invalid_request")
    assert dump(world) == before


def test_a_refusal_is_an_outcome_too(any_world: MakeWorld) -> None:
    world = any_world()
    late = {"account_id": "late", "model_id": "llama"}
    first = world.job("session.create", task_id="once", **late)
    assert first["error"]["code"] == "unknown_account"
    world.done("account.put", account_id="late", plan="payg", currency="USD")
    world.done("account.credit", account_id="late", amount="5", currency="USD", key="1")
    outcome = world.job("session.create", task_id="once", **late)
    assert outcome == first


def test_whoever_was_done_before_a_refusal_is_kept_has_the_outcome(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world()
    late = {"account_id": "late", "plan": "payg", "currency": "USD"}
    done: list[Any] = []

    def late_refuse(*refused: Any) -> performing.Performed:
        monkeypatch.setattr(performing, "_refuse", refuse)
        world.done("account.put", **late)
        done.append(world.job("account.credit", task_id="once", **CREDIT))
        return refuse(*refused)

    refuse = performing._refuse
    monkeypatch.setattr(performing, "_refuse", late_refuse)
    outcome = world.job("account.credit", task_id="once", **CREDIT)
    assert outcome == done[0]
    assert done[0]["ok"]


def test_a_session_id_may_be_asked_for_again_with_the_same_content(world: World) -> None:
    arguments = {**CREATE, "session_id": "mine", "stop": {"max_cost": "1.20"}}
    created = world.done("session.create", **arguments)
    world.settle()
    before = dump(world)
    again = world.done("session.create", **(arguments | {"stop": {"max_cost": "1.2"}, "nodes": 1}))
    assert (again["id"], created["state"], again["state"]) == ("mine", "starting", "running")
    assert dump(world) == before
    assert world.refused("session.create", **arguments, nodes=2) == "conflict"


def _poor(world: World) -> Refused:
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    return "session.create", CREATE | {"account_id": "poor"}


def _over_budget(world: World) -> Refused:
    world.done("account.budget", account_id="acme", period="day", amount="0.02", currency="USD")
    world.run_session()
    return "session.create", CREATE


def _burning_too_much(world: World) -> Refused:
    limit = {"amount": "100", "max_burn_per_hour": "1.19"}
    world.done("account.budget", account_id="acme", period="day", currency="USD", **limit)
    return "session.create", CREATE


def _foreign(world: World) -> Refused:
    world.done("account.put", account_id="euro", plan="payg", currency="EUR")
    return "session.create", CREATE | {"account_id": "euro"}


def _private(world: World) -> Refused:
    world.put_model("secret", {"alpha": "llama-3"}, source="private", owner="bob", files_uploaded=True)
    return "session.create", CREATE | {"model_id": "secret"}


def _named(world: World) -> Refused:
    world.create_session(name="taken", start=False)
    return "session.create", CREATE | {"name": "taken"}


def _crowded(world: World) -> Refused:
    world.run_session()
    world.run_session()
    return "session.create", CREATE


def _behind(world: World) -> Refused:
    world.done("account.put", account_id="poor", plan="contract", currency="USD")
    world.create_session(account_id="poor", on_quota="queue")
    world.jump(SECOND)
    return "session.create", CREATE | {"account_id": "poor"}


def _full(world: World) -> Refused:
    for _ in range(20):
        world.create_session(start=False)
    return "session.create", CREATE


def _keyless(world: World) -> Refused:
    world.run_session("moral", credential="env:MORPH_1")
    return "session.create", CREATE | {"model_id": "moral", "credential": "env:MORPH_1"}


def _strange_key(world: World) -> Refused:
    return "session.create", CREATE | {"model_id": "moral", "credential": "env:NOBODY"}


def _same_id(world: World) -> Refused:
    world.create_session(session_id="one", start=False)
    return "session.create", CREATE | {"session_id": "one"}


def _beyond_the_plan(world: World) -> Refused:
    return "session.extend", {"session_id": world.run_session(), "max_duration_seconds": 86_401}


def _beyond_the_model(world: World) -> Refused:
    world.put_model("short", {"alpha": "llama-3"}, max_interactions=5)
    return "session.extend", {"session_id": world.run_session("short"), "max_interactions": 6}


def _beyond_the_provider(world: World) -> Refused:
    session_id = world.run_session("moral", stop={"max_duration_seconds": 600})
    return "session.extend", {"session_id": session_id, "max_duration_seconds": 2101}


def _lower(world: World) -> Refused:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    return "session.extend", {"session_id": session_id, "max_duration_seconds": 599}


def _running(world: World) -> Refused:
    return "session.delete", {"session_id": world.run_session()}


def _unopened(world: World) -> Refused:
    return "session.ping", {"session_id": world.create_session()}


def _other_currency(world: World) -> Refused:
    return "account.credit", {"account_id": "acme", "amount": "1", "currency": "EUR", "key": "k"}


def _moved_currency(world: World) -> Refused:
    return "account.put", {"account_id": "acme", "plan": "payg", "currency": "EUR"}


def _too_rich(world: World) -> Refused:
    return "account.credit", {"account_id": "acme", "amount": 10**12 - 1, "currency": "USD", "key": "k"}


def _just(name: str, **kwargs: Any) -> Callable[[World], Refused]:
    return lambda _world: (name, kwargs)


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        (_just("session.create", account_id="acme"), "invalid_request"),
        (_just("session.create", **CREATE, provider="beta"), "invalid_request"),
        (_just("account.put", account_id="a", plan="golden", currency="USD"), "invalid_request"),
        (_just("session.close", session_id="s", confirm=True), "invalid_request"),
        (_lower, "invalid_request"),
        (_just("session.create", account_id="nobody", model_id="llama"), "unknown_account"),
        (_just("session.create", account_id="acme", model_id="nothing"), "unknown_model"),
        (_just("session.close", session_id="nothing"), "unknown_session"),
        (_just("session.create", account_id="acme", model_id="base"), "model_not_eligible"),
        (_private, "model_not_eligible"),
        (_named, "name_taken"),
        (_full, "quota_total_exceeded"),
        (_crowded, "quota_concurrent_exceeded"),
        (_behind, "queue_ahead"),
        (_just("session.create", **CREATE, nodes=3), "quota_nodes_exceeded"),
        (_poor, "insufficient_balance"),
        (_over_budget, "budget_exceeded"),
        (_burning_too_much, "burn_rate_exceeded"),
        (_foreign, "currency_mismatch"),
        (_other_currency, "currency_mismatch"),
        (_moved_currency, "currency_mismatch"),
        (_keyless, "no_capacity"),
        (_strange_key, "invalid_request"),
        (_beyond_the_plan, "limit_exceeded"),
        (_beyond_the_model, "limit_exceeded"),
        (_beyond_the_provider, "limit_exceeded"),
        (_too_rich, "limit_exceeded"),
        (_running, "invalid_state"),
        (_unopened, "invalid_state"),
        (_same_id, "conflict"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    world: World, arrange: Callable[[World], Refused], code: str
) -> None:
    name, kwargs = arrange(world)
    world.jump(MINUTE)
    before = dump(world)
    outcome = world.job(name, **kwargs)
    assert outcome["error"]["code"] == code
    assert outcome["error"]["message"]
    assert dump(world) == before
    world.settle()


def test_every_code_has_its_story() -> None:
    marks = test_a_refusal_says_why_and_changes_nothing.pytestmark  # type: ignore[attr-defined]
    refusals = set(ErrorCode) - {
        ErrorCode.INTERNAL_ERROR,  # a defect is no refusal: tests/processes/test_outcomes
        ErrorCode.PRECONDITION_FAILED,  # only requests over HTTP have one: tests/api/test_money
    }
    assert {code for _, code in marks[0].args[1]} == {code.value for code in refusals}


def test_an_unknown_job_is_refused(world: World) -> None:
    assert world.refused("session.explode") == "invalid_request"


def test_a_provider_may_be_extended_to_its_very_end(world: World) -> None:
    session_id = world.run_session("moral", stop={"max_duration_seconds": 600})
    extended = world.done("session.extend", session_id=session_id, max_duration_seconds=2100)
    assert extended["stop_at_reason"] == "max_duration"
    world.pass_time(35 * MINUTE)
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.STOPPED


def test_generated_names_differ_though_the_ids_end_alike(world: World) -> None:
    names = {world.session(world.create_session(session_id=f"{n}-tail", start=False)).name for n in range(3)}
    assert len(names) == 3
