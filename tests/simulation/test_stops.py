"""The invariants notice a stop or a close that was not due, or came late: each is broken by hand."""

from dataclasses import replace

import pytest

from orchestrator.rules.states import StopReason
from tests.simulation.altered import broken_in, evidence_of, with_placement, with_session
from tests.simulation.invariants import violations
from tests.simulation.process_faults import COMES_BACK
from tests.world import MINUTE, SECOND, World


def test_a_close_that_nobody_wanted_shows(lived: World) -> None:
    session = lived.run_session("moral")
    lived.done("session.close", session_id=session)
    lived.pass_time(5 * SECOND)
    evidence = evidence_of(lived)
    assert broken_in(evidence) == ""
    later = with_placement(evidence, session, closing_since=lived.clock.now + MINUTE)
    assert "no close of a session that was healthy" in broken_in(later)


@pytest.mark.parametrize("reason", list(StopReason))
@pytest.mark.parametrize("model", ["llama", "moral"])
def test_a_reason_that_is_not_true_shows(world: World, reason: StopReason, model: str) -> None:
    session = world.run_session(model)
    world.pass_time(5 * MINUTE)
    world.done("session.close", session_id=session)
    world.pass_time(MINUTE)
    evidence = evidence_of(world)
    assert broken_in(evidence) == ""
    events = [
        replace(e, data=dict(e.data, stop_reason=str(reason)) if "stop_reason" in e.data else e.data)
        for e in evidence.events
    ]
    no_job_asked = {
        task_id: outcome
        for task_id, outcome in evidence.inbox.items()
        if not (outcome and outcome["ok"] and outcome["result"].get("state") in {"stopping", "stopped"})
    }
    altered = with_session(evidence, session, stop_reason=reason, max_duration_seconds=None)
    broken = broken_in(replace(altered, events=events, inbox=no_job_asked))
    assert f"no close of a session that was healthy and within its rules: {session}: " in broken


def test_a_death_without_a_bad_ping_shows(lived: World) -> None:
    session = lived.run_session("llama")
    lived.pass_time(MINUTE)
    lived.done("session.close", session_id=session)
    lived.settle()
    assert f"{session}: dead: " in broken_in(
        with_session(evidence_of(lived), session, stop_reason=StopReason.DEAD)
    )


def test_a_death_with_a_good_ping_in_between_shows(world: World) -> None:
    session = world.run_session("llama")
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(3 * MINUTE)
    assert world.session(session).stop_reason == "dead"
    evidence = evidence_of(world)
    placement = evidence.of_session[session][0].id
    with_asked = replace(evidence, asked={call.seq: placement for call in evidence.calls})
    assert violations(with_asked) == []
    *_, last_but_one, _ = [call.seq for call in evidence.calls if call.operation == "chat"]
    calls = [
        replace(call, status=200, fault=None) if call.seq == last_but_one else call for call in evidence.calls
    ]
    assert f"{session}: dead: at" in broken_in(replace(with_asked, calls=calls))


def test_a_death_by_requests_that_never_arrived_is_one(world: World) -> None:
    session = world.run_session("llama")
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(3 * MINUTE)
    evidence = evidence_of(world)
    placement = evidence.of_session[session][0].id
    with_asked = replace(evidence, asked={call.seq: placement for call in evidence.calls})
    bad = [call for call in evidence.calls if call.operation == "chat" and call.fault == "dead"]
    unseen = replace(with_asked, calls=[call for call in evidence.calls if call not in bad])
    assert f"{session}: dead: at" in broken_in(unseen)
    given_up = [(evidence.at(call.ended_at or call.began_at), placement) for call in bad]
    assert violations(replace(unseen, never_arrived=given_up)) == []
    others = [(at, "another") for at, _ in given_up]
    assert f"{session}: dead: at" in broken_in(replace(unseen, never_arrived=others))


def test_a_death_without_a_proof_of_life_is_one_though_it_began_with_a_throttled_ping(world: World) -> None:
    world.change_policy("alpha", unusable_after_seconds=20)
    session = world.run_session("llama")
    world.server.fault("throttled", upstream="alpha", operation="chat", times=1)
    world.pass_time(40 * SECOND)
    world.server.fault("unauthorized", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    assert world.session(session).stop_reason == "dead"
    evidence = evidence_of(world)
    placement = evidence.of_session[session][0].id
    evidence = replace(evidence, asked={call.seq: placement for call in evidence.calls})
    assert violations(evidence) == []
    good = [
        replace(call, status=200, fault=None) if call.fault == "throttled" else call
        for call in evidence.calls
    ]
    assert f"{session}: dead: at" in broken_in(replace(evidence, calls=good))


def test_a_close_of_somebody_elses_session_shows(lived: World) -> None:
    evidence = evidence_of(lived)
    [closed, *_] = [there for there in evidence.upstream if there.closed_by == "client"]
    assert "though it is not ours" in broken_in(replace(evidence, foreign=frozenset({closed.id})))


def test_an_unknown_session_that_is_closed_too_young_shows(lived: World) -> None:
    evidence = evidence_of(lived)
    [closed, *_] = [there for there in evidence.upstream if there.closed_by == "client"]
    orphans = [replace(p, session_id=None) if p.handle == closed.id else p for p in evidence.placements]
    assert "as unknown" in broken_in(replace(evidence, placements=orphans))


def test_a_close_that_came_late_is_excused_by_its_own_failed_calls_only(lived: World) -> None:
    evidence = evidence_of(lived)
    [closed, *_] = [there for there in evidence.upstream if there.closed_by == "client"]
    later = replace(closed, closed_at=(closed.closed_at or 0) + 12)
    late = replace(evidence, upstream=[later if there is closed else there for there in evidence.upstream])
    assert f"{closed.id}: wanted closed at" in broken_in(late)
    [call] = [c for c in evidence.calls if c.operation == "close" and c.session == closed.id]
    begun = call.began_at
    failed = replace(call, status=500, fault="close_fails", began_at=begun, ended_at=begun + 10)
    assert f"{closed.id}: wanted closed at" not in broken_in(replace(late, calls=[*late.calls, failed]))
    other = replace(failed, session="0xother", key="sk-another")
    assert f"{closed.id}: wanted closed at" in broken_in(replace(late, calls=[*late.calls, other]))


def test_a_try_that_died_before_it_asked_lengthens_the_next_wait(lived: World) -> None:
    evidence = evidence_of(lived)
    [closed, *_] = [there for there in evidence.upstream if there.closed_by == "client"]
    [placement] = [p for p in evidence.placements if p.handle == closed.id]
    since = placement.closing_since
    assert since is not None
    [call] = [c for c in evidence.calls if c.operation == "close" and c.session == closed.id]
    over = since.timestamp() + COMES_BACK + 10
    failed = replace(call, status=500, fault="close_fails", began_at=over - 10, ended_at=over)
    # after the wait of a first failure that would be late; after that of a second it is not
    there = replace(closed, closed_at=over + 13.5)
    late = replace(
        evidence,
        upstream=[there if one is closed else one for one in evidence.upstream],
        calls=[*evidence.calls, failed],
        now=since + 10 * MINUTE,
    )
    half, whole = since + COMES_BACK / 2 * SECOND, since + COMES_BACK * SECOND
    lost_claim, others = [(since, whole)], [(since, half), (half, whole)]
    assert f"{closed.id}: wanted closed at" not in broken_in(replace(late, troubles=lost_claim))
    assert f"{closed.id}: wanted closed at" in broken_in(replace(late, troubles=others))


@pytest.mark.parametrize(("serialised", "excused"), [(True, True), (False, False)])
def test_a_close_waits_for_a_serialised_key_that_a_lost_open_keeps(
    lived: World, serialised: bool, excused: bool
) -> None:
    evidence = evidence_of(lived)
    [closed, *_] = [there for there in evidence.upstream if there.closed_by == "client"]
    [placement] = [p for p in evidence.placements if p.handle == closed.id]
    since = placement.closing_since
    assert since is not None
    late = replace(
        evidence,
        upstream=[
            replace(one, closed_at=since.timestamp() + 540) if one is closed else one
            for one in evidence.upstream
        ],
        placements=[replace(p, serialised=serialised) if p is placement else p for p in evidence.placements],
        troubles=[(since, since + COMES_BACK * SECOND)],
        now=since + 20 * MINUTE,
    )
    assert (f"{closed.id}: wanted closed at" not in broken_in(late)) is excused


def test_a_stop_at_another_instant_than_its_rule_says_shows(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.pass_time(61 * SECOND)
    earlier = lived.clock.now - 5 * MINUTE
    assert f"{session}: max_duration: it took effect at" in broken_in(
        with_session(evidence_of(lived), session, stopped_at=earlier)
    )


def test_an_idle_stop_of_what_was_known_to_be_in_use_shows(lived: World) -> None:
    session = lived.run_session("llama", stop={"idle_seconds": 60})
    lived.pass_time(2 * MINUTE)
    evidence = evidence_of(lived)
    assert broken_in(evidence) == ""
    [used, heard, too_late] = [lived.clock.now - n * SECOND for n in (80, 50, 20)]
    assert f"{session}: idle: it took effect" in broken_in(replace(evidence, uses=[(session, used, heard)]))
    assert broken_in(replace(evidence, uses=[(session, used, too_late), ("another", used, heard)])) == ""


def test_a_stop_that_came_late_shows_unless_something_was_out_of_order(lived: World) -> None:
    session = lived.run_session("llama", stop={"max_duration_seconds": 60})
    lived.jump(2 * MINUTE)
    lived.settle()
    evidence = evidence_of(lived)
    assert any(f"{session}: max_duration of" in str(violation) for violation in violations(evidence))
    down = (evidence.now - 2 * MINUTE, evidence.now)
    assert violations(replace(evidence, troubles=[down])) == []


def test_a_death_where_most_are_ill_shows(lived: World) -> None:
    world = lived
    one = world.run_session("llama")  # a second session there
    world.server.fault("dead", upstream="alpha", operation="chat")
    world.pass_time(2 * MINUTE)
    assert world.session(one).state == "running"
    evidence = evidence_of(world)
    dead = [e for e in evidence.events if e.kind == "session.running" and e.subject == one]
    died = replace(
        dead[0],
        at=evidence.events[-1].at,
        kind="session.stopping",
        data=dict(dead[0].data, stop_reason="dead", previous_state="running"),
    )
    broken = violations(replace(evidence, events=[*evidence.events, died]))
    assert any("while alpha was at fault" in str(violation) for violation in broken)
