"""The invariants hold in a quiet world, and each notices what is broken by hand."""

from dataclasses import replace
from decimal import Decimal

from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.values import Due
from tests.simulation.altered import broken_in, evidence_of, with_placement, with_session
from tests.simulation.invariants import violations
from tests.world import SECOND, World


def test_a_quiet_world_is_healthy(lived: World) -> None:
    assert violations(evidence_of(lived)) == []


def test_what_is_open_at_a_platform_and_unknown_here_is_a_leak(lived: World) -> None:
    session = lived.run_session("moral")
    handle = lived.placements(session)[0].handle
    forgotten = with_placement(evidence_of(lived), session, handle="another")
    assert f"{handle}: open at morph" in broken_in(forgotten)


def test_a_session_that_runs_on_beyond_a_hard_stop_shows(lived: World) -> None:
    budget = {"account_id": "acme", "period": "day", "amount": "500", "currency": "USD"}
    lived.done("account.budget", **budget, hard_stop=True)
    session = lived.run_session("moral")
    used = with_session(evidence_of(lived), session, charged=Decimal(1_000_000))
    assert "of 500 a day" in broken_in(used)


def test_a_session_that_is_over_while_its_placement_is_not_shows(lived: World) -> None:
    session = lived.run_session("moral")
    over = with_session(evidence_of(lived), session, state=State.STOPPED, running_since=None)
    assert f"{session}: stopped while placement" in broken_in(over)


def test_an_orphan_that_nobody_closes_shows_where_it_can_be_closed(lived: World) -> None:
    session = lived.run_session("moral")
    closing = with_placement(
        evidence_of(lived), session, state=PlacementState.CLOSING, due=Due(Step.CLOSE, lived.clock.now)
    )
    orphans = [replace(p, session_id=None) if p.session_id == session else p for p in closing.placements]
    evidence = replace(closing, placements=orphans)
    assert "and nothing closes it" not in broken_in(evidence)
    assert "and nothing closes it" in broken_in(replace(evidence, by_id=frozenset({"morph"})))


def test_money_that_is_charged_twice_or_never_shows(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.pass_time(61 * SECOND)
    evidence = evidence_of(lived)
    charge = evidence.ledger[-1]
    assert charge.session_id == session
    twice = broken_in(replace(evidence, ledger=[*evidence.ledger, charge]))
    assert f"{session}: charged" in twice
    assert "acme: cache" in twice
    assert "ledger: one key twice" in twice
    assert f"{session}: charged" in broken_in(replace(evidence, ledger=evidence.ledger[:-1]))


def test_a_balance_below_zero_shows(lived: World) -> None:
    evidence = evidence_of(lived)
    spent = replace(evidence.ledger[-1], debit="account:acme", credit="revenue", amount=Decimal(1000))
    broken = violations(replace(evidence, ledger=[*evidence.ledger, replace(spent, key="another")]))
    assert any(violation.invariant == "balance never below zero" for violation in broken)


def test_an_event_that_is_missing_shows(lived: World) -> None:
    session = lived.run_session("llama")
    evidence = evidence_of(lived)
    events = [e for e in evidence.events if (e.subject, e.kind) != (session, "session.running")]
    assert f"{session}: is running, and its events say" in broken_in(replace(evidence, events=events))


def test_an_event_that_came_too_early_shows(lived: World) -> None:
    evidence = evidence_of(lived)
    events = [{"id": e.id, "type": e.kind, "subject": e.subject} for e in evidence.events]
    assert violations(replace(evidence, delivered=[*events, *events])) == []
    assert violations(replace(evidence, delivered=list(reversed(events)))) != []
    assert violations(replace(evidence, delivered=events[:-1])) != []


def test_a_second_outcome_of_a_job_shows(lived: World) -> None:
    evidence = evidence_of(lived)
    answers = {task_id: [outcome or {}] for task_id, outcome in evidence.inbox.items()}
    assert violations(replace(evidence, answers=answers)) == []
    [first, *_] = answers
    assert violations(replace(evidence, answers=answers | {first: [*answers[first], {"ok": False}]})) != []
    assert violations(replace(evidence, answers=answers | {"lost": []})) != []


def test_one_session_more_than_the_quota_shows(lived: World) -> None:
    lived.run_session("moral")
    evidence = evidence_of(lived)
    [created] = [e for e in evidence.events if e.kind == "session.created"][-1:]
    again = [
        replace(created, subject=f"another-{n}", kind=kind)
        for n in range(2)
        for kind in ("session.created", "session.starting")
    ]
    broken = violations(replace(evidence, events=[*evidence.events, *again]))
    assert any(violation.invariant == "never more concurrent than the quota" for violation in broken)


def test_two_sessions_under_one_key_show(lived: World) -> None:
    evidence = evidence_of(lived)
    first = evidence.upstream[0]
    second = replace(first, id="0x2", opened_order=first.opened_order, closed_order=99)
    broken = violations(replace(evidence, upstream=[first, second, *evidence.upstream[1:]]))
    assert any(violation.invariant.startswith("never two active") for violation in broken)
