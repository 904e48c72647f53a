"""Accounts with too many sessions to be read one by one: which stop, when, and what is paid stays the same."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.flows.reports.account_view import forecast
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.values import Due
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

CORP = {"account_id": "corp", "model_id": "llama"}


@pytest.fixture(autouse=True)
def two_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = World.another_worker
    monkeypatch.setattr(World, "another_worker", lambda world: replace(usual(world), few_sessions=1))


def corp(world: World, amount: str) -> None:
    """Put an account without a quota."""
    world.done("account.put", account_id="corp", plan="contract", currency="USD")
    credit(world, amount, "first")


def credit(world: World, amount: str, key: str) -> None:
    world.done("account.credit", account_id="corp", amount=amount, currency="USD", key=key)


def found(world: World) -> set[Invariant]:
    """Return the audit's findings; events are not delivered here."""
    return {one.check for one in audit_everything(world.services).found}


def test_funds_that_last_are_looked_for_as_their_end_comes_nearer(any_world: MakeWorld) -> None:
    """Two sessions at 0.02 a minute each: the block of the second that begins after 30 minutes cannot be paid."""
    world = any_world()
    corp(world, "1.22")
    first, second = sorted(world.run_session(**CORP) for _ in range(2))
    known = world.account("corp")
    assert known.funds_session_id is None
    assert START + 29 * MINUTE - 2 * SECOND <= known.funds_end_at < START + 30 * MINUTE
    assert known.due.at == known.funds_end_at - 15 * MINUTE
    world.pass_time(known.due.at - world.clock.now)
    known = world.account("corp")
    assert (known.funds_end_at, known.funds_session_id) == (START + 30 * MINUTE, second)
    world.pass_time(HOUR)
    assert world.events("corp").count("low_balance") == 3
    stopped = {one: world.session(one) for one in (first, second)}
    assert {one.stop_reason for one in stopped.values()} == {StopReason.BALANCE_EXHAUSTED}
    assert stopped[second].stopped_at == START + 30 * MINUTE
    assert stopped[first].stopped_at == START + 31 * MINUTE
    assert world.balance("corp") == 0


def test_funds_that_ended_while_nobody_worked_end_at_their_instant(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "1.22")
    first, second = sorted(world.run_session(**CORP) for _ in range(2))
    world.jump(2 * HOUR)
    credit(world, "5", "too late")
    assert world.session(second).stopped_at == START + 30 * MINUTE
    assert world.session(first).stopped_at == START + 31 * MINUTE
    assert world.balance("corp") == 5


def test_a_credit_between_the_look_and_the_end_is_in_time(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "1.22")
    running = [world.run_session(**CORP) for _ in range(2)]
    world.jump(world.account("corp").funds_end_at - world.clock.now + SECOND)
    credit(world, "5", "in time")
    assert {world.session(one).state for one in running} == {State.RUNNING}
    assert world.account("corp").funds_end_at > world.clock.now + HOUR
    assert Invariant.FUNDS not in found(world)
    assert Invariant.COUNTS not in found(world)


def test_who_cannot_be_paid_beside_many_is_reported_what_is_missing(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "0.59")
    for _ in range(2):
        world.create_session(**CORP)
    refusal = world.job("session.create", **CORP)["error"]
    assert (refusal["code"], refusal["details"]["missing"]) == ("insufficient_balance", "0.01")
    credit(world, "0.01", "second")
    world.create_session(**CORP)


def test_a_debit_leaves_what_many_owe(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "10")
    for _ in range(3):
        world.run_session(**CORP)
    world.jump(10 * MINUTE)  # eleven blocks each
    debit = {"account_id": "corp", "currency": "USD", "reason": "mistyped", "author": "ops"}
    refused = world.job("account.debit", amount="9.340001", key="a", **debit)["error"]
    assert refused["details"]["owed"] == "0.66"
    world.done("account.debit", amount="9.34", key="b", **debit)
    world.done("account.put", account_id="corp", plan="contract", currency="USD", overdraft_limit="1")
    world.settle()


def test_what_many_have_cost_is_posted_a_part_at_a_time(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "100")
    running = sorted(world.run_session(**CORP) for _ in range(5))
    due = world.account("corp").next_charge_at
    world.jump(due - world.clock.now)
    post_charges(world.services, at_once=2)
    known = world.account("corp")
    assert (known.next_charge_at, known.charging_since, known.charged_up_to) == (due, due, running[1])
    posted = [entry.session_id for entry in world.ledger("corp", "charge")]
    assert posted == running[:2]
    for _ in range(2):
        post_charges(world.services, at_once=2)
    known = world.account("corp")
    assert (known.next_charge_at, known.charging_since, known.charged_up_to) == (due + HOUR, None, None)
    assert [entry.session_id for entry in world.ledger("corp", "charge")] == running
    assert world.balance("corp") == Decimal(100) - 5 * Decimal("1.20")
    assert Invariant.FUNDS not in found(world)
    assert Invariant.COUNTS not in found(world)


def test_a_posting_that_an_older_release_ended_begins_anew(any_world: MakeWorld) -> None:
    """The older release knows nothing of parts, and plans the next hour."""
    world = any_world()
    corp(world, "100")
    running = sorted(world.run_session(**CORP) for _ in range(3))
    due = world.account("corp").next_charge_at
    world.jump(due - world.clock.now)
    post_charges(world.services, at_once=2)

    def as_before(tx: Transaction) -> None:
        account = tx.accounts.lock("corp")
        assert account is not None
        after = replace(account, next_charge_at=due + HOUR, due=Due(Step.CHARGE, due + HOUR))
        tx.accounts.save(account, after, tx.now())

    world.services.database.transact(as_before)
    world.jump(HOUR)
    post_charges(world.services)
    assert [entry.session_id for entry in world.ledger("corp", "charge")] == [*running[:2], *running]


def test_a_lower_overdraft_finds_what_many_owe_posted(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "10")
    for _ in range(3):
        world.run_session(**CORP)
    world.jump(10 * MINUTE)
    put = {"account_id": "corp", "plan": "contract", "currency": "USD"}
    world.done("account.put", **put, overdraft_limit="5")
    world.done("account.put", **put, overdraft_limit="1")
    assert len(world.ledger("corp", "charge")) == 3
    assert world.balance("corp") == Decimal(10) - 3 * Decimal("0.20")


def test_a_forecast_of_a_large_account_names_nobody_yet(any_world: MakeWorld) -> None:
    world = any_world()
    corp(world, "100")
    for _ in range(2):
        world.run_session(**CORP)
    world.jump(timedelta(minutes=5))
    with world.services.database.reading() as tx:
        reported = forecast(tx, world.services.config, world.account("corp"), world.clock.now)
    assert reported["funds_end_at"] is not None
    assert reported["funds_end_session_id"] is None
    assert reported["not_yet_charged"] == "0.24"
    assert reported["burn_per_hour"] == "2.40"
