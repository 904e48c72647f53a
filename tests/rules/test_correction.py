"""Corrections of instants from a clock that was an hour ahead, once the time went back."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from orchestrator.rules.installation import correction
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.values import Account, Due, Lease, ModelType, Placement, Session
from tests.due import due_at
from tests.rules.builders import HOUR, MINUTE, SECOND, T0, a_session

LONGEST = 10 * MINUTE
NONE = timedelta(0)


def test_what_happened_in_the_future_happened_that_much_earlier() -> None:
    session = a_session(
        running_since=T0 + 50 * MINUTE,
        last_ping_at=T0 - MINUTE,
        last_alive_at=T0 + 2 * HOUR,
        created_at=T0 - HOUR,
    )
    after = correction.corrected_session(session, HOUR, T0, LONGEST)

    assert after.running_since == T0 - 10 * MINUTE
    assert after.last_ping_at == T0 - MINUTE
    assert after.last_alive_at == T0
    assert after.created_at == T0 - HOUR


@pytest.mark.parametrize(
    ("ahead", "shift", "back"),
    [
        (9 * MINUTE, HOUR, 9 * MINUTE),
        (61 * MINUTE, HOUR, MINUTE),
        (65 * MINUTE, NONE, NONE),
        (3 * HOUR, HOUR, NONE),
        (30 * MINUTE, HOUR, NONE),
    ],
)
def test_no_ping_waits_longer_than_any(ahead: timedelta, shift: timedelta, back: timedelta) -> None:
    session = a_session(ping_at=T0 + ahead, lease=Lease("t", T0 + ahead, T0 + ahead))
    after = correction.corrected_session(session, shift, T0, LONGEST)

    assert after.lease == Lease("t", T0 + back, min(T0, T0 + ahead - shift))
    assert after.ping_at == T0 + back


def test_whoever_queued_by_the_clock_that_was_ahead_waits_as_long_as_it_was_to() -> None:
    ahead = a_session(queued_at=T0 + HOUR, queue_deadline_at=T0 + 2 * HOUR)
    right = a_session(queued_at=T0 - HOUR, queue_deadline_at=T0 + HOUR)

    assert correction.corrected_session(ahead, HOUR, T0, LONGEST).queue_deadline_at == T0 + HOUR
    assert correction.corrected_session(right, HOUR, T0, LONGEST) == right


@pytest.mark.parametrize(
    ("decided", "end"),
    [(None, NONE), (T0 + HOUR - 5 * MINUTE, -5 * MINUTE), (T0 + 2 * HOUR, NONE)],
)
def test_a_session_that_was_stopped_too_soon_costs_until_its_stop(
    decided: datetime | None, end: timedelta
) -> None:
    session = a_session(
        state=State.STOPPING,
        created_at=T0 - HOUR,
        running_at=T0 - 10 * MINUTE,
        stopped_at=T0 + 20 * MINUTE,
        ran_microseconds=30 * 60 * 1_000_000,
        charged=Decimal(30),
    )
    after = correction.corrected_stop(session, decided, HOUR, T0)

    assert after.stopped_at == T0 + end
    assert after.ran_microseconds == (10 * MINUTE + end) // timedelta(microseconds=1)
    assert correction.cost(after, T0) == Decimal((10 * MINUTE + end) // MINUTE)


@pytest.mark.parametrize(
    ("decided", "ended", "end"),
    [
        (T0 + 45 * MINUTE, T0 + 46 * MINUTE, -15 * MINUTE),
        (T0 + 45 * MINUTE, None, -15 * MINUTE),
        (None, T0 + 46 * MINUTE, -5 * MINUTE),
    ],
)
def test_a_stop_with_effect_in_the_past_that_was_decided_in_the_future_came_when_it_was_decided(
    decided: datetime | None, ended: datetime | None, end: timedelta
) -> None:
    session = a_session(
        state=State.STOPPED,
        created_at=T0 - HOUR,
        running_at=T0 - 35 * MINUTE,
        stopped_at=T0 - 5 * MINUTE,
        ended_at=ended,
        ran_microseconds=30 * 60 * 1_000_000,
    )
    after = correction.corrected_stop(session, decided, HOUR, T0)

    assert after.stopped_at == T0 + end
    assert after.ran_microseconds == (35 * MINUTE + end) // timedelta(microseconds=1)
    assert after.ended_at is None or after.stopped_at <= after.ended_at <= T0


def test_one_that_began_and_stopped_by_the_clock_that_was_ahead_costs_what_it_ran() -> None:
    session = a_session(
        state=State.STOPPED,
        running_at=T0 + 30 * MINUTE,
        stopped_at=T0 + 40 * MINUTE,
        ended_at=T0 + 41 * MINUTE,
        ran_microseconds=10 * 60 * 1_000_000,
    )
    after = correction.corrected_stop(session, None, HOUR, T0)

    assert (after.running_at, after.stopped_at) == (T0 - 30 * MINUTE, T0 - 20 * MINUTE)
    assert after.ended_at == T0 - 19 * MINUTE
    assert after.ran_microseconds == session.ran_microseconds


@pytest.mark.parametrize("stopped_at", [None, T0, T0 - HOUR])
def test_what_stopped_in_time_stays_as_it_is(stopped_at: datetime | None) -> None:
    session = a_session(state=State.STOPPED, stopped_at=stopped_at, ended_at=T0 - SECOND)

    assert correction.corrected_stop(session, None, HOUR, T0) is session


def test_an_end_that_is_proven_in_time_stays() -> None:
    session = a_session(state=State.STOPPED, stopped_at=T0 + MINUTE, ended_at=T0 - SECOND)

    assert correction.corrected_stop(session, None, HOUR, T0).ended_at == T0 - SECOND


def test_what_runs_costs_until_now_and_the_block_that_began() -> None:
    session = a_session(
        state=State.RUNNING, running_at=T0 - MINUTE, running_since=T0 - MINUTE, charged=Decimal(60)
    )

    assert correction.cost(session, T0) == Decimal(2)


def a_placement(**changes: Any) -> Placement:
    """Return a placement that has been closing since a minute before T0."""
    plain = Placement(
        id="p-1",
        session_id="s-1",
        account_id="acme",
        n=1,
        provider="alpha",
        credential=None,
        exclusive=False,
        serialised=False,
        model_id="llama",
        provider_model_id="llama-3",
        model_type=ModelType.LLM,
        nodes=1,
        price_per_node_hour=Decimal(1),
        currency="USD",
        state=PlacementState.CLOSING,
        duration_seconds=600,
        created_at=T0 - HOUR,
        closing_since=T0 - MINUTE,
    )
    return replace(plain, **changes)


def test_a_placement_is_closed_as_soon_as_it_was_to_be() -> None:
    placement = a_placement(
        closing_since=T0 + HOUR,
        due=Due(Step.CLOSE, T0 + HOUR + MINUTE),
        lease=Lease("t", T0 + HOUR + 3 * MINUTE),
    )
    after = correction.corrected_placement(placement, HOUR, T0, LONGEST)

    assert (after.closing_since, due_at(after)) == (T0, T0 + MINUTE)
    assert after.lease == Lease("t", T0 + 3 * MINUTE)


def test_an_end_that_its_provider_declared_stays() -> None:
    end = T0 + 5 * HOUR
    orphan = a_placement(declared_end_at=end, due=Due(Step.CLOSE, end))
    again = replace(orphan, due=Due(Step.CLOSE, T0 + 2 * HOUR))

    assert due_at(correction.corrected_placement(orphan, HOUR, T0, LONGEST)) == end
    assert due_at(correction.corrected_placement(again, HOUR, T0, LONGEST)) == T0


@pytest.mark.parametrize(("admitted", "after"), [(None, None), (T0 + HOUR, T0), (T0 - HOUR, T0 - HOUR)])
def test_an_account_is_charged_within_the_hour(admitted: datetime | None, after: datetime | None) -> None:
    account = Account(
        id="acme",
        plan="payg",
        currency="USD",
        balance=Decimal(1),
        next_charge_at=T0 + 90 * MINUTE,
        last_admitted_at=admitted,
        created_at=T0 - HOUR,
    )
    corrected = correction.corrected_account(account, HOUR, T0, HOUR)

    assert corrected.next_charge_at == T0 + 30 * MINUTE
    assert corrected.last_admitted_at == after


AN_ACCOUNT = Account(id="acme", plan="payg", currency="USD", balance=Decimal(1), created_at=T0 - HOUR)
#: (what may be in the future, what happened, everything else, how it is corrected)
ROWS: dict[type, tuple[Any, Collection[str], Collection[str], Callable[[Any], Any]]] = {
    Session: (
        a_session(),
        correction.PAST_OF_SESSION,
        correction.ELSE_OF_SESSION,
        lambda row: correction.corrected_session(row, HOUR, T0, LONGEST),
    ),
    Placement: (
        a_placement(),
        correction.PAST_OF_PLACEMENT,
        correction.ELSE_OF_PLACEMENT,
        lambda row: correction.corrected_placement(row, HOUR, T0, LONGEST),
    ),
    Account: (
        AN_ACCOUNT,
        correction.PAST_OF_ACCOUNT,
        correction.ELSE_OF_ACCOUNT,
        lambda row: correction.corrected_account(row, HOUR, T0, LONGEST),
    ),
}


def instants_of(kind: type) -> dict[str, Any]:
    """Return the fields that are an instant, or a collection of them, by name."""

    def tells_time(hint: Any) -> bool:
        return hint is datetime or any(map(tells_time, get_args(hint)))

    hints = get_type_hints(kind)
    plain = {name: hint for name, hint in hints.items() if tells_time(hint)}
    made = {
        name: made for name in ("due", "lease") for made in get_args(hints.get(name)) if made is not NoneType
    }
    return plain | {
        f"{name}.{part}": hint for name, kind in made.items() for part, hint in instants_of(kind).items()
    }


@pytest.mark.parametrize("kind", ROWS)
def test_of_every_instant_it_is_said_whether_it_happened(kind: type) -> None:
    _, past, rest, _ = ROWS[kind]
    assert len(past) == len(set(past))
    assert {*past} & {*rest} == set()
    assert {*past, *rest} == instants_of(kind).keys()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ROWS for name in ROWS[kind][1]])
def test_whatever_happened_in_the_future_happened_that_much_earlier(kind: type, name: str) -> None:
    row, _, _, correct = ROWS[kind]
    many = get_origin(instants_of(kind)[name]) is tuple
    for at, right in ((T0 + 50 * MINUTE, T0 - 10 * MINUTE), (T0 + 2 * HOUR, T0), (T0 - MINUTE, T0 - MINUTE)):
        reported, wanted = ((T0 - MINUTE, at), (T0 - MINUTE, right)) if many else (at, right)
        assert getattr(correct(replace(row, **{name: reported})), name) == wanted


@pytest.mark.parametrize("name", ["created_at", "deleted_at"])
def test_what_is_at_rest_is_corrected_as_well(name: str) -> None:
    session = a_session(state=State.STOPPED, **{name: T0 + 50 * MINUTE})
    assert getattr(correction.corrected_stop(session, None, HOUR, T0), name) == T0 - 10 * MINUTE
