"""What sessions cost, when it is posted, and when the funds end."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.reports.account_view import forecast
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.rules.billing import money
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Plan, Policy
from orchestrator.store.queries.ledger import former_credit_key
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.flows.hands import Hands
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.money

POOR = {"account_id": "poor", "model_id": "llama"}


def _account(world: World, amount: str, name: str = "poor") -> None:
    world.done("account.put", account_id=name, plan="payg", currency="USD")
    world.done("account.credit", account_id=name, amount=amount, currency="USD", key="first")


def test_starting_sessions_count_as_running_when_funds_are_checked(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "0.39")
    world.create_session(**POOR)
    refusal = world.job("session.create", **POOR)["error"]
    assert (refusal["code"], refusal["details"]["missing"]) == ("insufficient_balance", "0.01")
    world.done("account.credit", account_id="poor", amount="0.01", currency="USD", key="second")
    world.create_session(**POOR)
    world.settle()


def test_min_funded_seconds_are_rounded_up_to_whole_blocks(make_world: MakeWorld) -> None:
    plan = Plan(name="payg", min_funded_seconds=601, billing_block_seconds=900)
    world = make_world(plans={"payg": plan})
    _account(world, "0.29")
    assert world.refused("session.create", **POOR) == "insufficient_balance"
    world.done("account.credit", account_id="poor", amount="0.01", currency="USD", key="second")
    session_id = world.run_session(**POOR)
    world.pass_time(HOUR)
    assert world.session(session_id).stopped_at == START + 15 * MINUTE
    assert world.balance("poor") == 0


@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_that_begin_at_one_instant_the_first_is_paid_whatever_their_ids(
    any_world: MakeWorld, first: str
) -> None:
    """The block of the running one has begun: it cannot be taken back for one with a smaller id."""
    world = any_world()
    poor = {"account_id": "poor", "plan": "contract", "currency": "USD"}
    _account(world, "0.02")
    world.done("account.put", **poor, overdraft_limit="1")
    second = "b" if first == "a" else "a"
    for session_id in (first, second):
        world.create_session(**POOR, session_id=session_id)
        open_due(world.services)
    world.done("account.put", **poor, overdraft_limit="plan")
    begin(world, first)
    world.settle()
    assert world.session(first).state is State.RUNNING
    assert world.session(second).stop_reason is StopReason.BALANCE_EXHAUSTED
    assert world.session(second).charged == 0
    world.pass_time(HOUR)
    assert world.session(first).charged == Decimal("0.02")
    assert world.balance("poor") == 0
    assert world.ledger("poor", "write_off") == []


def begin(world: World, session_id: str) -> None:
    """Let the first good ping of this one be written before that of any other."""
    hands, others = Hands(world.another_worker()), []
    while world.session(session_id).state is State.STARTING:  # a busy machine may give a ping back
        pinged = hands.ping(world.placements(session_id)[-1].provider)
        others += [one for one in pinged if one.claimed.context.id != session_id]
        hands.settle(*(one for one in pinged if one.claimed.context.id == session_id))
    hands.settle(*others)


def test_a_credit_in_time_moves_the_end(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "0.20")
    session_id = world.run_session(**POOR)
    world.jump(10 * MINUTE - SECOND)
    credited = world.done("account.credit", account_id="poor", amount="0.20", currency="USD", key="2")
    assert credited["funds_end_at"] == "2026-01-01T12:20:00Z"
    world.pass_time(HOUR)
    assert world.session(session_id).stopped_at == START + 20 * MINUTE


def test_a_credit_that_comes_too_late_revives_nobody(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "0.20")
    session_id = world.run_session(**POOR)
    world.jump(10 * MINUTE)
    world.done("account.credit", account_id="poor", amount="5", currency="USD", key="2")
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPING, StopReason.BALANCE_EXHAUSTED)
    world.settle()
    assert world.balance("poor") == 5


DEBIT = {"account_id": "poor", "currency": "USD", "reason": "a credit was mistyped", "author": "ops"}


def test_a_debit_takes_a_mistyped_credit_back_once_and_says_why(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "50")
    for _ in range(3):
        result = world.done("account.debit", **DEBIT, amount="45", key="typo")
        assert result["balance"] == "5.00"
    assert world.refused("account.debit", **DEBIT, amount="44", key="typo") == "conflict"
    assert world.refused("account.debit", **DEBIT | {"author": "x"}, amount="45", key="typo") == "conflict"
    assert (
        world.refused("account.debit", **DEBIT | {"currency": "EUR"}, amount="1", key="k")
        == "currency_mismatch"
    )
    [entry] = world.ledger("poor", kind="debit")
    assert (entry.amount, entry.debit, entry.credit) == (Decimal(45), "account:poor", "granted")
    assert entry.note == "a credit was mistyped (by ops)"
    assert world.events("poor") == ["credited", "debited"]


def test_no_debit_takes_what_sessions_have_cost_and_what_is_left_ends_them(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "5")
    session_id = world.run_session(**POOR)
    world.pass_time(10 * MINUTE + SECOND)
    assert world.balance("poor") == 5, "nothing is posted yet"
    assert world.refused("account.debit", **DEBIT, amount="4.79", key="all") == "insufficient_balance"
    world.done("account.debit", **DEBIT, amount="4.78", key="all")
    world.pass_time(2 * MINUTE)
    session = world.session(session_id)
    assert (session.stop_reason, session.charged) == (StopReason.BALANCE_EXHAUSTED, Decimal("0.22"))
    assert world.balance("poor") == 0


def test_a_credit_counts_once_under_its_key(any_world: MakeWorld) -> None:
    world = any_world()
    credit = {"account_id": "acme", "currency": "USD", "key": "march"}
    for _ in range(3):
        result = world.done("account.credit", amount="5", **credit)
        assert result["balance"] == "105.00"
    assert world.refused("account.credit", amount="6", **credit) == "conflict"
    assert world.events("acme") == ["credited", "credited"]


@pytest.mark.parametrize(
    ("first", "its_key", "second", "other_key"),
    [
        ("team:blue", "invoice-1", "team", "blue:invoice-1"),
        ("team", "blue:invoice-1", "team:blue", "invoice-1"),
    ],
)
def test_no_credit_counts_as_another_accounts(
    any_world: MakeWorld, first: str, its_key: str, second: str, other_key: str
) -> None:
    """However their names and keys read when joined."""
    world = any_world()
    for account_id in (first, second):
        world.done("account.put", account_id=account_id, plan="contract", currency="USD")
    for account_id, key in ((first, its_key), (second, other_key)) * 2:
        reported = world.done("account.credit", account_id=account_id, amount="10", currency="USD", key=key)
        assert reported["balance"] == "10.00"


def test_a_credit_under_a_key_as_it_was_once_written_still_counts(any_world: MakeWorld) -> None:
    world = any_world()
    world.done("account.put", account_id="team:blue", plan="contract", currency="USD")

    def as_it_was(tx: Transaction) -> None:
        work = on_account(world.services, tx, "team:blue")
        assert work is not None
        work.credit(Decimal(10), former_credit_key("team:blue", "1"))
        work.finish()

    world.services.database.transact(as_it_was)
    credit = {"account_id": "team:blue", "amount": "10", "currency": "USD", "key": "1"}
    result = world.done("account.credit", **credit)
    assert result["balance"] == "10.00", "it has been counted already"


def test_a_stop_at_the_instant_of_a_posting_costs_what_it_costs_without_one(any_world: MakeWorld) -> None:
    """The block that would begin there does not begin: nothing of it was posted."""
    world = any_world(policy=Policy(ping_interval_seconds=600))
    session_id = world.run_session()
    world.pass_time(HOUR)
    assert world.session(session_id).charges == 1
    world.done("session.close", session_id=session_id)
    world.settle()
    assert world.session(session_id).charged == Decimal("1.20")
    assert world.balance() == Decimal("98.80")


def test_costs_are_posted_by_the_hour_and_at_the_stop(any_world: MakeWorld) -> None:
    world = any_world(policy=Policy(ping_interval_seconds=600))
    session_id = world.run_session(stop={"max_duration_seconds": 9000})
    world.pass_time(3 * HOUR)
    amounts = [entry.amount for entry in world.ledger(kind="charge")]
    assert amounts == [Decimal("1.20"), Decimal("1.20"), Decimal("0.60")]
    keys = [entry.key for entry in world.ledger(kind="charge")]
    assert keys == [f"charge:{session_id}:{n}" for n in (1, 2, 3)]


def test_a_late_posting_takes_what_has_been_owed_only_since_its_time(any_world: MakeWorld) -> None:
    """At that time nothing was owed: lowering the overdraft had just posted it all."""
    hourly = Plan(name="payg", billing_block_seconds=3600)
    world = any_world(policy=Policy(ping_interval_seconds=7200), plans={"payg": hourly})
    _account(world, "100")
    world.run_session(**POOR)
    world.pass_time(90 * MINUTE)
    for limit in ("5", "4"):
        world.done("account.put", account_id="poor", plan="payg", currency="USD", overdraft_limit=limit)
    assert world.balance("poor") == Decimal("97.60")
    world.jump(2 * HOUR)
    world.settle()
    assert world.balance("poor") == Decimal("95.20")


def test_an_account_with_many_sessions_is_posted_in_several_transactions(any_world: MakeWorld) -> None:
    """Blocks that begin meanwhile do not keep the posting from its end."""
    world = any_world(policy=Policy(ping_interval_seconds=7200))
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    for _ in range(3):
        world.run_session()
    world.jump(HOUR)
    for entries, left in ((2, START + HOUR), (3, START + HOUR + 2 * MINUTE + HOUR)):
        world.jump(MINUTE)
        post_charges(world.services, at_once=2)
        assert len(world.ledger(kind="charge")) == entries
        assert world.account().next_charge_at == left
    world.settle()


def test_a_day_of_downtime_posts_the_same_totals(make_world: MakeWorld) -> None:
    world = make_world()
    _account(world, "100", "awake")
    _account(world, "100", "asleep")
    terms: dict[str, Any] = {"stop": {"max_duration_seconds": 40_000}, "nodes": 2}
    ids = [world.create_session(account_id=account, **terms) for account in ("awake", "asleep")]
    world.settle()
    world.jump(24 * HOUR)
    world.settle()
    [first, second] = [world.session(session_id) for session_id in ids]
    assert first.charged == second.charged == money.cost_of(Decimal("1.20"), 2, 667, 60)
    assert world.balance("awake") == world.balance("asleep")
    assert len(world.ledger("asleep", "charge")) == 1


def test_the_balance_never_falls_below_nothing(any_world: MakeWorld) -> None:
    world = any_world()
    _account(world, "1.37")
    first = world.run_session(**POOR, nodes=2)
    world.pass_time(timedelta(seconds=47))
    second = world.run_session(**POOR)
    for minutes in (1, 7, 3, 50, 2):
        world.jump(minutes * MINUTE)
        world.settle()
        assert world.balance("poor") >= 0
    ended = [world.session(session_id) for session_id in (first, second)]
    assert {session.stop_reason for session in ended} == {StopReason.BALANCE_EXHAUSTED}
    assert sum(session.charged for session in ended) == Decimal("1.36")
    assert all(session.charged == world.ledger_of(session.id) for session in ended)


def test_low_balance_is_reported_once_for_each_threshold_of_a_shortage(world: World) -> None:
    _account(world, "0.60")
    world.run_session(**POOR)
    world.pass_time(14 * MINUTE)
    assert world.events("poor") == ["credited"]
    world.pass_time(3 * MINUTE)
    assert world.events("poor") == ["credited", "low_balance"]
    world.pass_time(9 * MINUTE)
    assert world.events("poor") == ["credited", "low_balance", "low_balance"]
    world.done("account.credit", account_id="poor", amount="1", currency="USD", key="2")
    world.pass_time(2 * HOUR)
    expected = ["credited", *["low_balance"] * 2, "credited", *["low_balance"] * 3, "exhausted"]
    assert world.events("poor") == expected


def test_a_session_keeps_the_price_of_its_admission(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.put_model("llama", {"alpha": "llama-3"}, price_per_node_hour="99")
    world.pass_time(HOUR)
    assert world.session(session_id).charged == Decimal("0.20")


def test_a_session_that_the_funds_cannot_carry_any_more_never_runs(world: World) -> None:
    _account(world, "0.40")
    world.server.fault("loading", operation="chat", upstream="morph")
    running = world.run_session(**POOR)
    starting = world.create_session(account_id="poor", model_id="moral")
    world.pass_time(19 * MINUTE + 30 * SECOND)
    world.server.clear_faults()
    world.pass_time(HOUR)
    assert world.session(running).charged == Decimal("0.40")
    session = world.session(starting)
    assert (session.stop_reason, session.charged) == (StopReason.BALANCE_EXHAUSTED, Decimal(0))
    assert session.running_at is None


def test_a_forecast_tells_what_each_session_does_to_the_funds(world: World) -> None:
    world.done("account.put", account_id="poor", plan="contract", currency="USD", overdraft_limit="0.20")
    world.done("account.credit", account_id="poor", amount="0.40", currency="USD", key="first")
    session_id = world.run_session(**POOR, nodes=2)
    world.jump(61 * SECOND)
    with world.services.database.reading() as tx:
        reported = forecast(tx, world.services.config, world.account("poor"), world.clock.now)
    assert (reported["burn_per_hour"], reported["not_yet_charged"], reported["available"]) == (
        "2.40",
        "0.08",
        "0.52",
    )
    assert (reported["funds_end_session_id"], reported["seconds_left"]) == (session_id, 14 * 60 - 1)
    [one] = reported["sessions"]
    assert (one["cost"], one["cost_per_hour"]) == ("0.08", "2.40")
    assert one["next_block_at"] == "2026-01-01T12:02:00Z"
    assert (one["stop_at"], one["stop_at_reason"]) == ("2026-01-01T12:15:00Z", "balance_exhausted")
    world.settle()


def test_a_late_look_at_a_cost_shows_no_more_than_will_be_charged(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.jump(HOUR)
    assert world.view(session_id)["cost"] == "0.20"
    world.settle()
    assert world.view(session_id)["cost"] == "0.20"
