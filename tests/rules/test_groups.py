"""Groups never promise more than the sessions one by one keep, and only a little less."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.billing import money
from orchestrator.rules.billing.groups import (
    Group,
    Phase,
    changed,
    grouped,
    is_counted_as,
    last_until,
    surely_begins,
    surely_funded,
    uncharged_at_most,
)
from orchestrator.rules.states import State
from orchestrator.rules.values import ZERO, Session
from orchestrator.rules.values.horizon import HORIZON
from tests.rules.builders import (
    HOUR,
    MINUTE,
    SECOND,
    T0,
    TICK,
    a_running_session,
    a_session,
    a_starting_session,
)

PRICES = st.sampled_from([Decimal(n) for n in ("0", "0.000001", "0.0018", "0.9", "1.2", "60", "61.7")])
BLOCKS = st.sampled_from([1, 60, 900, 3600])
SPANS = st.integers(0, 10_000_000_000).map(lambda us: us * TICK)
AMOUNTS = st.integers(0, 300_000_000).map(lambda millionths: Decimal(millionths) / 1_000_000)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Draw a session that starts, moves or runs; some began in the future, by a clock that was ahead."""
    price = {
        "price_per_node_hour": draw(PRICES),
        "nodes": draw(st.integers(1, 3)),
        "block_seconds": draw(BLOCKS),
    }
    ran = draw(st.integers(0, 10_000_000_000))
    phase = draw(st.sampled_from(Phase))
    if phase is Phase.STARTING:
        return a_starting_session(**price)
    if phase is Phase.MOVING:
        moving = a_starting_session(**price, running_at=T0 - 10 * HOUR, ran_microseconds=ran)
        return replace(moving, charged=money.cost_if_stopped_at(moving, T0))
    since = T0 - draw(SPANS) + draw(st.sampled_from([0, 0, 3])) * MINUTE
    running = a_running_session(**price, running_since=since, ran_microseconds=ran)
    posted = since + draw(SPANS)
    return replace(running, charged=money.cost_if_stopped_at(running, min(posted, max(T0, since))))


MANY = st.lists(sessions(), max_size=12).map(
    lambda found: [replace(one, id=f"s{n:02}") for n, one in enumerate(found)]
)


@given(MANY, sessions(), sessions())
def test_one_that_comes_changes_or_goes_is_counted_as_the_database_does(
    found: list[Session], one: Session, other: Session
) -> None:
    others, came, went = grouped(found), grouped([*found, one]), grouped([*found, other])
    _assert_counted(changed(others, None, one), came)
    _assert_counted(changed(came, one, other), went)
    _assert_counted(changed(went, other, None), others)


def _assert_counted(counted: Sequence[Group], there: Sequence[Group]) -> None:
    assert len(counted) == len(there)
    assert all(map(is_counted_as, counted, there))


def running(found: list[Session]) -> list[Session]:
    return [one for one in found if one.state is State.RUNNING]


@given(MANY, AMOUNTS, AMOUNTS)
def test_funds_last_beyond_the_instant_that_groups_tell(
    found: list[Session], balance: Decimal, overdraft: Decimal
) -> None:
    until = last_until(balance + overdraft, grouped(found), T0)
    end = money.funds_end(balance, running(found), T0, overdraft)
    if until is None:
        assert end is None
    elif until >= T0:
        assert end is None or end.at > until


@given(
    MANY.filter(lambda found: any(one.price_per_node_hour >= Decimal("0.9") for one in running(found))),
    AMOUNTS,
)
def test_funds_end_a_block_after_it_at_most(found: list[Session], balance: Decimal) -> None:
    """And two seconds, and the loss by rounding: with only tiny prices that may be longer."""
    until = last_until(balance, grouped(found), T0)
    end = money.funds_end(balance, running(found), T0)
    if until is not None and until >= T0 + 4 * MINUTE:
        longest = max(one.block_seconds for one in running(found))
        assert end is not None
        assert end.at <= until + timedelta(seconds=longest + 3)


@given(MANY, SPANS)
def test_no_more_is_uncharged_than_groups_tell(found: list[Session], later: timedelta) -> None:
    at = T0 + later
    exact = sum((money.uncharged(one, at) for one in running(found)), ZERO)
    assert exact <= uncharged_at_most(grouped(found), at)


@given(MANY, sessions(), AMOUNTS, AMOUNTS)
def test_who_surely_begins_can_begin(
    found: list[Session], joining: Session, balance: Decimal, overdraft: Decimal
) -> None:
    joining = replace(joining, state=State.RUNNING, running_at=T0, running_since=T0)
    if surely_begins(balance, grouped(found), joining, T0, overdraft):
        assert money.can_begin(balance, running(found), joining, T0, overdraft)


@given(MANY, AMOUNTS, st.sampled_from([0, 60, 601, 7200]), PRICES)
def test_who_is_surely_funded_misses_nothing(
    found: list[Session], balance: Decimal, seconds: int, price: Decimal
) -> None:
    joining = a_session(price_per_node_hour=price)
    if surely_funded(balance, grouped(found), joining, T0, seconds, ZERO):
        assert money.funded(balance, found, joining, T0, seconds) is None


@pytest.mark.parametrize(
    ("balance", "begins"),
    [pytest.param(5, True, id="enough"), pytest.param(1, False, id="it is not certain")],
)
def test_a_first_block_beside_many_others(balance: int, begins: bool) -> None:
    others = [a_running_session(id=f"s{n}", charged=Decimal(1)) for n in range(3)]
    joining = a_running_session(id="joining")
    assert surely_begins(Decimal(balance), grouped(others), joining, T0, ZERO) is begins


def test_sessions_that_start_need_what_they_need_alone() -> None:
    starting = [a_starting_session(id=f"s{n}") for n in range(100)]
    assert surely_funded(Decimal(1010), grouped(starting), a_session(), T0, 600, ZERO)
    assert not surely_funded(Decimal("1009.999999"), grouped(starting), a_session(), T0, 600, ZERO)


def test_nothing_that_burns_lasts_for_ever_and_so_do_funds_beyond_the_horizon() -> None:
    free = grouped([a_running_session(price_per_node_hour=ZERO)])
    assert last_until(ZERO, free, T0) is None
    assert last_until(ZERO, grouped([a_starting_session()]), T0) is None
    minutes = HORIZON // MINUTE
    burning = grouped([a_running_session()])
    assert last_until(Decimal(minutes + 10), burning, T0) is None
    assert last_until(Decimal(minutes - 10), burning, T0) is not None


def test_nothing_is_said_of_funds_while_a_session_began_in_the_future() -> None:
    ahead = grouped([a_running_session(running_since=T0 + HOUR)])
    until = last_until(ZERO, ahead, T0)
    assert until is not None
    assert until < T0


def test_alike_sessions_are_one_group() -> None:
    moved = a_running_session(running_since=T0 + 1500 * TICK + SECOND, ran_microseconds=61_999_999)
    seconds = int(T0.timestamp())
    alike = Group(
        phase=Phase.RUNNING,
        price_per_node_hour=Decimal(60),
        nodes=1,
        block_seconds=60,
        sessions=2,
        charged=Decimal(3),
        since_seconds=2 * seconds + 1,
        ran_seconds=61,
        latest_second=seconds + 2,
    )
    first = a_running_session(charged=Decimal(3))
    assert grouped([moved, a_starting_session(), first]) == [
        alike,
        replace(
            alike,
            phase=Phase.STARTING,
            sessions=1,
            charged=ZERO,
            since_seconds=0,
            ran_seconds=0,
            latest_second=1,
        ),
    ]


def test_a_count_may_know_a_later_second_and_nothing_else_may_differ() -> None:
    [there] = grouped([a_running_session()])
    assert is_counted_as(there, there)
    assert is_counted_as(replace(there, latest_second=there.latest_second + 9), there)
    assert not is_counted_as(replace(there, latest_second=there.latest_second - 1), there)
    assert not is_counted_as(replace(there, charged=Decimal(1)), there)
    assert not is_counted_as(None, there)
    assert not is_counted_as(there, None)
    assert is_counted_as(None, None)
