"""Events are read from the difference: no change can forget its own."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules import events
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Account, Due, ModelType, Placement, Session, Verdict
from tests.rules.builders import MINUTE, SECOND, T0, a_running_session, a_session, a_starting_session


def kinds(before: Session | None, after: Session) -> list[str]:
    return [event.type.removeprefix("orchestrator.session.") for event in events.of_session(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, a_session(state=State.CREATED), ["created"], id="a new one is created"),
        pytest.param(
            None, a_starting_session(), ["created", "starting"], id="one that starts at once says both"
        ),
        pytest.param(
            a_starting_session(),
            a_running_session(),
            ["running"],
            id="a change of state has that state's name",
        ),
        pytest.param(
            a_running_session(),
            a_starting_session(),
            ["failed_over"],
            id="from running back to starting: failover",
        ),
        pytest.param(
            a_running_session(),
            a_running_session(failures=1, failing_since=T0),
            ["suspect"],
            id="the first failure",
        ),
        pytest.param(
            a_running_session(failures=1, failing_since=T0),
            a_running_session(failures=2, failing_since=T0),
            [],
            id="the second is no news",
        ),
        pytest.param(
            a_running_session(gone_since=T0), a_running_session(), ["recovered"], id="a doubt that has gone"
        ),
        pytest.param(
            a_starting_session(), a_starting_session(failures=1), [], id="a cold server is no suspect"
        ),
        pytest.param(
            a_running_session(),
            a_running_session(warned_seconds=300),
            ["expiring"],
            id="a warning that is sent",
        ),
        pytest.param(
            a_running_session(warned_seconds=300), a_running_session(), [], id="a warning that is taken back"
        ),
        pytest.param(
            a_session(state=State.STOPPED),
            a_session(state=State.STOPPED, deleted_at=T0),
            ["deleted"],
            id="deleted",
        ),
    ],
)
def test_events_of_a_session(before: Session | None, after: Session, expected: list[str]) -> None:
    assert kinds(before, after) == expected


def test_a_session_is_created_in_the_state_created_and_then_enters_the_next() -> None:
    found = events.of_session(None, a_starting_session())
    states = [(event.data["previous_state"], event.data["state"]) for event in found]
    assert states == [(None, "created"), ("created", "starting")]


def test_money_in_events_has_two_places() -> None:
    (event,) = events.of_session(a_starting_session(), a_running_session(charged=Decimal("0.000000")))
    assert event.data["charged"] == "0.00"
    credited = events.credited(an_account(balance=Decimal("7.500000")), "2.50", "k")
    assert credited.data["balance"] == "7.50"


def test_the_data_tells_what_was_and_what_is() -> None:
    before = a_running_session()
    after = replace(
        before,
        state=State.STOPPING,
        running_since=None,
        stop_reason=StopReason.DEAD,
        stop_detail="three failed pings",
        last_verdict=Verdict.TRANSIENT,
        last_ping_at=T0,
        warned_seconds=60,
    )
    (event,) = events.of_session(before, after)
    assert event.subject == after.id
    assert event.data["previous_state"] == "running"
    assert event.data["stop_reason"] == "dead"
    assert event.data["last_ping"]["verdict"] == "TRANSIENT"
    assert event.data["seconds_left"] == 60


def test_a_queued_session_says_what_it_waits_for() -> None:
    found = events.of_session(None, a_session(state=State.QUEUED, queue_reason="no_capacity"))
    assert found[-1].data["queue_reason"] == "no_capacity"
    [running] = events.of_session(a_starting_session(), a_running_session())
    assert "queue_reason" not in running.data


OWN = {"stop_at": T0 + 10 * MINUTE, "stop_at_reason": StopReason.MAX_DURATION}
DAY = 86400 * SECOND


@pytest.mark.parametrize(
    ("of_session", "until"),
    [
        pytest.param(OWN, DAY, id="the plan's ceiling"),
        pytest.param(OWN | {"model_max_duration_seconds": 7200}, 120 * MINUTE, id="the model's limit"),
        pytest.param(OWN | {"declared_end_at": T0 + 60 * MINUTE}, 60 * MINUTE, id="the declared end"),
        pytest.param(
            OWN | {"declared_end_at": T0 + 60 * MINUTE, "failover": True},
            DAY,
            id="the next placement goes on",
        ),
        pytest.param(OWN | {"plan_max_duration_seconds": 600}, None, id="it stops at the ceiling"),
        pytest.param(OWN | {"stop_at_reason": StopReason.MAX_COST}, DAY, id="a higher cost helps"),
        pytest.param(OWN | {"stop_at_reason": StopReason.IDLE}, None, id="only use helps"),
        pytest.param(OWN | {"stop_at_reason": StopReason.MODEL_LIMIT}, None, id="the model's own limit"),
        pytest.param(OWN | {"state": State.STOPPING}, None, id="it is too late"),
        pytest.param({}, None, id="no stop is foreseen"),
        pytest.param(OWN | {"plan_max_duration_seconds": 10**12}, 36_525 * DAY, id="beyond the calendar"),
    ],
)
def test_an_event_says_until_when_its_session_can_be_extended(
    of_session: dict[str, Any], until: timedelta | None
) -> None:
    after = a_running_session(**of_session)
    before = replace(after, state=State.STARTING)
    [event] = events.of_session(before, after)
    expected = None if until is None else events.rfc3339(T0 + until)
    assert event.data["extendable_until"] == expected


def an_account(**changes: Any) -> Account:
    plain: dict[str, Any] = {
        "id": "acme",
        "plan": "payg",
        "currency": "USD",
        "balance": Decimal(5),
        "created_at": T0,
        "funds_end_at": T0 + MINUTE,
    }
    return Account(**(plain | changes))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, 60, ["orchestrator.account.low_balance"], id="a warning"),
        pytest.param(300, 60, ["orchestrator.account.low_balance"], id="the next one"),
        pytest.param(60, 60, [], id="once each"),
        pytest.param(60, None, [], id="the shortage is over"),
    ],
)
def test_low_balance(before: int | None, after: int | None, expected: list[str]) -> None:
    short = an_account(warned_seconds=after, funds_end_at=T0 + 50 * SECOND)
    found = events.of_account(an_account(warned_seconds=before), short, T0)
    assert [event.type for event in found] == expected
    reported = [(event.data["seconds_left"], event.data["threshold_seconds"]) for event in found]
    assert reported == [(50, 60)] * len(expected)
    late = replace(short, warned_seconds=1)
    assert [e.data["seconds_left"] for e in events.of_account(short, late, T0 + MINUTE)] == [0]


def test_money_that_arrives_and_money_that_ends() -> None:
    assert events.credited(an_account(), "5.00", "k1").data["key"] == "k1"
    debited = events.debited(an_account(), "5.00", "k1", "mistyped", "ops")
    assert (debited.type, debited.data["author"]) == ("orchestrator.account.debited", "ops")
    session = a_session(state=State.STOPPING, stop_reason=StopReason.BALANCE_EXHAUSTED)
    assert events.exhausted(an_account(), session).data["session_id"] == session.id


def a_placement(**changes: Any) -> Placement:
    plain: dict[str, Any] = {
        "id": "p1",
        "session_id": "s1",
        "account_id": "acme",
        "n": 1,
        "provider": "alpha",
        "credential": "env:KEY",
        "model_id": "m",
        "provider_model_id": "m",
        "model_type": ModelType.LLM,
        "price_per_node_hour": Decimal(1),
        "currency": "USD",
        "state": PlacementState.CLOSING,
        "duration_seconds": 600,
        "created_at": T0,
        "due": Due(Step.CLOSE, T0),
    }
    return Placement(**(plain | changes))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, a_placement(), [], id="a placement is no event of its own"),
        pytest.param(
            a_placement(),
            a_placement(unproven_since=T0),
            ["session.unproven"],
            id="the first close without proof",
        ),
        pytest.param(
            a_placement(unproven_since=T0), a_placement(unproven_since=T0), [], id="the next one is no news"
        ),
        pytest.param(None, a_placement(session_id=None), ["provider.orphan_found"], id="an orphan"),
        pytest.param(
            a_placement(session_id=None),
            a_placement(session_id=None, ended_at=T0),
            ["provider.orphan_closed"],
            id="an orphan that has ended",
        ),
        pytest.param(
            a_placement(session_id=None),
            a_placement(session_id=None, attempts=1),
            [],
            id="an orphan that is tried",
        ),
        pytest.param(
            a_placement(session_id=None),
            a_placement(session_id=None, unproven_since=T0),
            ["provider.orphan_unproven"],
            id="an orphan without a proven close",
        ),
        pytest.param(
            a_placement(unproven_since=T0),
            a_placement(unproven_since=T0, forced_at=T0, forced_by="ann", forced_why="a ticket"),
            ["session.close_forced"],
            id="a close that is forced",
        ),
        pytest.param(
            None,
            a_placement(unproven_since=T0, forced_at=T0),
            ["session.unproven", "session.close_forced"],
            id="both at once",
        ),
        pytest.param(
            a_placement(forced_at=T0), a_placement(forced_at=T0), [], id="what was forced is forced once"
        ),
    ],
)
def test_events_of_a_placement(before: Placement | None, after: Placement, expected: list[str]) -> None:
    found = events.of_placement(before, after)
    assert [event.type.removeprefix("orchestrator.") for event in found] == expected


def test_times_are_rfc_3339_in_utc() -> None:
    assert events.rfc3339(T0) is not None
    assert str(events.rfc3339(T0)).endswith("Z")
    assert events.rfc3339(None) is None


def test_a_lost_key_is_reported_with_both_sessions() -> None:
    reported = events.ownership_lost(
        a_placement(provider="morpheus", credential="env:K", handle="0xours"), "0xtheirs"
    )
    assert (reported.type, reported.subject) == ("orchestrator.provider.ownership_lost", "morpheus")
    assert (reported.data["credential"], reported.data["handle"]) == ("env:K", "0xours")
    assert reported.data["foreign_handle"] == "0xtheirs"


def test_the_end_of_a_run_tells_until_when_it_is_paid_and_what_held_it() -> None:
    running = a_running_session(running_since=T0, held_since=T0 + MINUTE, last_alive_at=T0 + SECOND)
    stopped = replace(running, state=State.STOPPING, running_since=None, ran_microseconds=1_000_000)
    data = events.of_session(running, stopped)[0].data
    assert data["paid_until"] == data["last_alive_at"] == "2025-09-15T12:00:01Z"
    assert data["held_since"] == "2025-09-15T12:01:00Z"
    plain = events.of_session(replace(running, held_since=None), stopped)[0].data
    assert "held_since" not in plain
    assert "paid_until" not in events.of_session(stopped, replace(stopped, state=State.STOPPED))[0].data


def test_a_change_says_who_did_it_and_how() -> None:
    plain = events.changed("s1", "acme")
    event = events.by_job(plain, "orchestrator.session.extend", "shop", {"max_interactions": 9})
    assert (event.type, event.subject) == ("orchestrator.session.changed", "s1")
    change = {"job": "orchestrator.session.extend", "author": "shop", "arguments": {"max_interactions": 9}}
    assert event.data == {"session_id": "s1", "account_id": "acme", "change": change}
    assert "change" not in plain.data
