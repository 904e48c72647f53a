"""The invariants hold in a quiet world, and each notices what is broken by hand."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.flows.deliver_events import deliver_events
from orchestrator.rules.states import State, StopReason
from tests.simulation.evidence import Evidence, gather
from tests.simulation.invariants import violations
from tests.world import MINUTE, SECOND, World


def _evidence(world: World) -> Evidence:
    deliver_events(world.services, [])
    return gather(
        world.services.database,
        world.services.config,
        world.clock.now,
        upstream=world.server.sessions(),
        calls=world.server.log(),
        exclusive=frozenset({"morph"}),
    )


@pytest.fixture
def lived(world: World) -> World:
    """One session that was closed, one that ran out, and one that runs."""
    closed = world.run_session("moral")
    world.run_session("moral", stop={"max_duration_seconds": 70})
    world.pass_time(MINUTE)
    world.done("session.close", session_id=closed)
    world.pass_time(20 * SECOND)
    world.run_session("llama")
    return world


def test_a_quiet_world_is_healthy(lived: World) -> None:
    assert violations(_evidence(lived)) == []


def _broken(evidence: Evidence) -> str:
    return "\n".join(str(violation) for violation in violations(evidence))


def _with_session(evidence: Evidence, session_id: str, **changes: Any) -> Evidence:
    changed = replace(evidence.sessions[session_id], **changes)
    return replace(evidence, sessions={**evidence.sessions, session_id: changed})


def _with_placement(evidence: Evidence, session_id: str, **changes: Any) -> Evidence:
    changed = [replace(p, **changes) if p.session_id == session_id else p for p in evidence.placements]
    return replace(evidence, placements=changed)


def test_what_is_open_at_a_platform_and_unknown_here_is_a_leak(lived: World) -> None:
    session = lived.run_session("moral")
    handle = lived.placements(session)[0].handle
    forgotten = _with_placement(_evidence(lived), session, handle="another")
    assert f"{handle}: open at morph" in _broken(forgotten)


def test_a_session_that_is_over_while_its_placement_is_not_shows(lived: World) -> None:
    session = lived.run_session("moral")
    over = _with_session(_evidence(lived), session, state=State.STOPPED, running_since=None)
    assert f"{session}: stopped while placement" in _broken(over)


def test_a_close_that_nobody_wanted_shows(lived: World) -> None:
    session = lived.run_session("moral")
    lived.done("session.close", session_id=session)
    lived.pass_time(5 * SECOND)
    evidence = _evidence(lived)
    assert _broken(evidence) == ""
    later = _with_placement(evidence, session, closing_since=lived.clock.now + MINUTE)
    assert "no close of a session that was healthy" in _broken(later)


def test_a_death_without_a_bad_ping_shows(lived: World) -> None:
    session = lived.run_session("llama")
    lived.pass_time(MINUTE)
    lived.done("session.close", session_id=session)
    lived.settle()
    assert f"{session}: dead at" in _broken(
        _with_session(_evidence(lived), session, stop_reason=StopReason.DEAD)
    )


def test_a_stop_at_another_instant_than_its_rule_says_shows(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.pass_time(61 * SECOND)
    earlier = lived.clock.now - 5 * MINUTE
    assert f"{session}: max_duration took effect at" in _broken(
        _with_session(_evidence(lived), session, stopped_at=earlier)
    )


def test_a_stop_that_came_late_shows_unless_something_was_out_of_order(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.jump(2 * MINUTE)
    lived.settle()
    evidence = _evidence(lived)
    assert any(f"{session}: max_duration of" in str(violation) for violation in violations(evidence))
    down = (evidence.now - 2 * MINUTE, evidence.now)
    assert violations(replace(evidence, troubles=[down])) == []


def test_money_that_is_charged_twice_or_never_shows(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.pass_time(61 * SECOND)
    evidence = _evidence(lived)
    charge = evidence.ledger[-1]
    assert charge.session_id == session
    twice = _broken(replace(evidence, ledger=[*evidence.ledger, charge]))
    assert f"{session}: charged" in twice
    assert "acme: cache" in twice
    assert "ledger: one key twice" in twice
    assert f"{session}: charged" in _broken(replace(evidence, ledger=evidence.ledger[:-1]))


def test_a_balance_below_zero_shows(lived: World) -> None:
    evidence = _evidence(lived)
    spent = replace(evidence.ledger[-1], debit="account:acme", credit="revenue", amount=Decimal(1000))
    broken = violations(replace(evidence, ledger=[*evidence.ledger, replace(spent, key="another")]))
    assert any(violation.invariant == "balance never below zero" for violation in broken)


def test_an_event_that_is_missing_shows(lived: World) -> None:
    session = lived.run_session("llama")
    evidence = _evidence(lived)
    told = [e for e in evidence.told if (e.subject, e.kind) != (session, "session.running")]
    assert f"{session}: is running, and told was" in _broken(replace(evidence, told=told))


def test_an_event_that_came_too_early_shows(lived: World) -> None:
    evidence = _evidence(lived)
    told = [{"id": e.id, "type": e.kind, "subject": e.subject} for e in evidence.told]
    assert violations(replace(evidence, delivered=[*told, *told])) == []
    assert violations(replace(evidence, delivered=list(reversed(told)))) != []
    assert violations(replace(evidence, delivered=told[:-1])) != []


def test_a_second_outcome_of_a_job_shows(lived: World) -> None:
    evidence = _evidence(lived)
    answers = {task_id: [outcome or {}] for task_id, outcome in evidence.inbox.items()}
    assert violations(replace(evidence, answers=answers)) == []
    [first, *_] = answers
    assert violations(replace(evidence, answers=answers | {first: [*answers[first], {"ok": False}]})) != []
    assert violations(replace(evidence, answers=answers | {"lost": []})) != []


def test_one_session_more_than_the_quota_shows(lived: World) -> None:
    lived.run_session("moral")
    evidence = _evidence(lived)
    [created] = [e for e in evidence.told if e.kind == "session.created"][-1:]
    again = [
        replace(created, subject=f"another-{n}", kind=kind)
        for n in range(2)
        for kind in ("session.created", "session.starting")
    ]
    broken = violations(replace(evidence, told=[*evidence.told, *again]))
    assert any(violation.invariant == "never more concurrent than the quota" for violation in broken)


def test_two_sessions_under_one_key_show(lived: World) -> None:
    evidence = _evidence(lived)
    first = evidence.upstream[0]
    second = replace(first, id="0x2", opened_order=first.opened_order, closed_order=99)
    broken = violations(replace(evidence, upstream=[first, second, *evidence.upstream[1:]]))
    assert any(violation.invariant.startswith("never two active") for violation in broken)


def test_a_death_where_most_are_ill_shows(lived: World) -> None:
    world = lived
    one = world.run_session("llama")  # beside another one there
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    assert world.session(one).state == "running"
    evidence = _evidence(world)
    dead = [e for e in evidence.told if e.kind == "session.running" and e.subject == one]
    died = replace(
        dead[0],
        at=evidence.told[-1].at,
        kind="session.stopping",
        data=dict(dead[0].data, stop_reason="dead", previous_state="running"),
    )
    broken = violations(replace(evidence, told=[*evidence.told, died]))
    assert any("while alpha was at fault" in str(violation) for violation in broken)
