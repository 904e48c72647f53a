from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.billing.money import (
    FundsEnd,
    burn_per_hour,
    can_begin,
    cost_by,
    cost_if_stopped_at,
    cost_limit_at,
    cost_of,
    first_block_beyond,
    funded,
    funds_end,
    money_at_risk,
    next_block_at,
    parse_amount,
    payable_blocks,
    ran_by,
    uncharged,
)
from orchestrator.rules.states import State
from orchestrator.rules.values import Session
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

PRICES = st.integers(1, 500_000_000).map(lambda millionths: Decimal(millionths) / 1_000_000)
SMALL_PRICES = st.sampled_from([Decimal(n) for n in ("0.0001", "0.9", "1.2", "60", "61.7")])
SPANS = st.integers(0, 10_000_000_000).map(lambda us: timedelta(microseconds=us))


@pytest.mark.parametrize(
    ("price", "nodes", "blocks", "block_seconds", "cost"),
    [
        pytest.param("60", 1, 1, 60, "1", id="a minute of sixty an hour is one"),
        pytest.param("1.20", 2, 3, 60, "0.12", id="nodes and blocks multiply"),
        pytest.param("1", 1, 3, 60, "0.05", id="three times a sixtieth is rounded once and not thrice"),
        pytest.param("0.0018", 1, 1, 1, "0", id="half a millionth goes down to the even zero"),
        pytest.param("0.0054", 1, 1, 1, "0.000002", id="one and a half goes up to the even two"),
        pytest.param("5", 3, 0, 60, "0", id="no block costs nothing"),
    ],
)
def test_cost_of_blocks(price: str, nodes: int, blocks: int, block_seconds: int, cost: str) -> None:
    assert cost_of(Decimal(price), nodes, blocks, block_seconds) == Decimal(cost)


def test_money_has_six_places() -> None:
    assert cost_of(Decimal(60), 1, 1, 60).as_tuple().exponent == -6


@given(PRICES, st.integers(1, 8), st.integers(0, 100_000), st.sampled_from([1, 60, 3600]))
def test_cost_is_the_exact_price_rounded_once(price: Decimal, nodes: int, blocks: int, seconds: int) -> None:
    exact = Fraction(price) * nodes * blocks * seconds / 3600
    assert Fraction(cost_of(price, nodes, blocks, seconds)) == Fraction(round(exact * 10**6), 10**6)


@pytest.mark.parametrize(
    ("after", "running", "stopped"),
    [
        pytest.param(
            -SECOND, 0, 1, id="before it begins nothing is charged, though it costs its first block"
        ),
        pytest.param(timedelta(0), 1, 1, id="the first block is charged as it begins"),
        pytest.param(MINUTE - TICK, 1, 1, id="to its last microsecond it is the first block"),
        pytest.param(MINUTE, 2, 1, id="at the boundary the second begins, unless the stop is there"),
        pytest.param(MINUTE + TICK, 2, 2, id="after the boundary the second has begun"),
    ],
)
def test_blocks_are_charged_as_they_begin(after: timedelta, running: int, stopped: int) -> None:
    session = a_running_session()
    assert cost_by(session, T0 + after) == running
    assert cost_if_stopped_at(session, T0 + after) == stopped


@pytest.mark.parametrize(
    ("ran_seconds", "ever_ran", "cost"),
    [
        pytest.param(0, False, 0, id="what never ran costs nothing"),
        pytest.param(0, True, 1, id="what ran for no time at all costs its first block"),
        pytest.param(60, True, 1, id="a whole block is one block"),
        pytest.param(61, True, 2, id="a begun block is a block"),
    ],
)
def test_after_the_interval_the_cost_stands_still(ran_seconds: int, ever_ran: bool, cost: int) -> None:
    session = a_session(ran_microseconds=ran_seconds * 1_000_000, running_at=T0 if ever_ran else None)
    assert cost_by(session, T0 + HOUR) == cost_if_stopped_at(session, T0 + HOUR) == cost
    assert ran_by(session, T0 + HOUR) == ran_seconds * 1_000_000


def test_a_failover_begins_no_new_block() -> None:
    session = a_running_session(running_since=T0 + HOUR, ran_microseconds=30_000_000)
    assert cost_by(session, T0) == 1
    assert cost_by(session, T0 + HOUR) == 1
    assert cost_by(session, T0 + HOUR + 30 * SECOND) == 2


def test_what_is_charged_already_is_not_charged_again() -> None:
    assert uncharged(a_running_session(charged=Decimal(3)), T0 + 5 * MINUTE) == 3


@given(PRICES, SPANS, SPANS, SPANS)
def test_cost_never_falls(price: Decimal, ran: timedelta, one: timedelta, more: timedelta) -> None:
    session = a_running_session(price_per_node_hour=price, ran_microseconds=ran // TICK)
    at = T0 + one - HOUR
    assert cost_by(session, at) <= cost_by(session, at + more)
    assert cost_if_stopped_at(session, at) <= cost_if_stopped_at(session, at + more)


@given(PRICES, st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=4))
def test_split_intervals_cost_what_the_whole_costs(
    price: Decimal, intervals: list[tuple[timedelta, timedelta]]
) -> None:
    split = a_running_session(price_per_node_hour=price)
    now = T0
    for pause, length in intervals:
        begun = replace(split, running_since=now + pause)
        now = now + pause + length
        split = replace(begun, running_since=None, ran_microseconds=ran_by(begun, now))
    whole = a_running_session(price_per_node_hour=price)
    assert cost_by(split, now) == cost_if_stopped_at(
        whole, T0 + sum((length for _, length in intervals), timedelta())
    )


@pytest.mark.parametrize(
    ("changes", "limit_after"),
    [
        pytest.param({}, None, id="no limit, no end"),
        pytest.param(
            {"max_cost": Decimal(3), "running_since": None}, None, id="while not running it costs nothing"
        ),
        pytest.param(
            {"max_cost": Decimal(3), "price_per_node_hour": Decimal(0)}, None, id="free is for ever"
        ),
        pytest.param({"max_cost": Decimal(3)}, 3 * MINUTE, id="three blocks are paid, the fourth is not"),
        pytest.param({"max_cost": Decimal("3.99")}, 3 * MINUTE, id="part of a block pays no block"),
        pytest.param({"max_cost": Decimal("0.5")}, 0 * MINUTE, id="not even the first block"),
        pytest.param({"max_cost": Decimal(10**14)}, None, id="beyond the horizon is never"),
        pytest.param({"max_cost": Decimal(10**30)}, None, id="beyond the calendar is never"),
        pytest.param(
            {"max_cost": Decimal(3), "ran_microseconds": 150_000_000},
            30 * SECOND,
            id="earlier intervals count",
        ),
        pytest.param(
            {"max_cost": Decimal(1), "ran_microseconds": 150_000_000},
            0 * SECOND,
            id="spent before is spent now",
        ),
    ],
)
def test_its_own_cost_limit(changes: dict[str, Any], limit_after: timedelta | None) -> None:
    expected = None if limit_after is None else T0 + limit_after
    assert cost_limit_at(a_running_session(**changes)) == expected


@given(PRICES | SMALL_PRICES, st.integers(1, 60), st.integers(0, 10**9))
def test_the_payable_blocks_are_the_most_whose_rounded_cost_fits(
    price: Decimal, block_seconds: int, millionths: int
) -> None:
    session, amount = (
        a_session(price_per_node_hour=price, block_seconds=block_seconds),
        Decimal(millionths) / 10**6,
    )
    blocks = payable_blocks(session, amount)
    assert cost_of(price, 1, blocks, block_seconds) <= amount < cost_of(price, 1, blocks + 1, block_seconds)


@given(st.integers(0, 5), st.integers(0, 50))
def test_payable_blocks_at_exact_halves(limit: int, twice: int) -> None:
    session = a_session(price_per_node_hour=Decimal("0.0018") * (twice + 1), block_seconds=1)
    amount = Decimal(limit) / 10**6
    blocks = payable_blocks(session, amount)
    price = session.price_per_node_hour
    assert cost_of(price, 1, blocks, 1) <= amount < cost_of(price, 1, blocks + 1, 1)


# the end of the funds


def test_the_block_that_the_balance_cannot_pay_ends_the_funds() -> None:
    assert funds_end(Decimal(5), [a_running_session()], T0) == FundsEnd(T0 + 5 * MINUTE, a_session().id)


def test_an_overdraft_and_what_is_charged_already_carry_on() -> None:
    session = a_running_session(charged=Decimal(2))
    assert funds_end(Decimal(5), [session], T0, Decimal(1)) == FundsEnd(T0 + 8 * MINUTE, session.id)


@pytest.mark.parametrize(
    "sessions",
    [
        pytest.param([], id="nothing"),
        pytest.param([a_starting_session()], id="a session that only starts"),
        pytest.param([a_running_session(price_per_node_hour=Decimal(0))], id="a free session"),
        pytest.param(
            [a_running_session(price_per_node_hour=Decimal("0.000001"))], id="a session of centuries"
        ),
    ],
)
def test_funds_never_end_for(sessions: list[Session]) -> None:
    assert funds_end(Decimal(1000), sessions, T0) is None


def test_one_that_stopped_running_still_has_its_cost() -> None:
    moving = a_starting_session(id="b", running_at=T0, ran_microseconds=90_000_000)
    assert funds_end(Decimal(5), [a_running_session(id="a"), moving], T0) == FundsEnd(T0 + 3 * MINUTE, "a")


def test_blocks_that_begin_together_are_paid_in_the_order_of_ids() -> None:
    sessions = [a_running_session(id=name) for name in "cab"]
    assert funds_end(Decimal(5), sessions, T0) == FundsEnd(T0 + MINUTE, "c")
    assert funds_end(Decimal(4), sessions, T0) == FundsEnd(T0 + MINUTE, "b")
    assert funds_end(Decimal(3), sessions, T0) == FundsEnd(T0 + MINUTE, "a")


def test_the_session_whose_block_cannot_be_paid_stops_and_not_another() -> None:
    old, new = a_running_session(id="a"), a_running_session(id="b", running_since=T0 + 90 * SECOND)
    assert funds_end(Decimal(2), [old, new], T0 + 90 * SECOND) == FundsEnd(T0 + 90 * SECOND, "b")


def test_where_too_much_began_already_the_first_by_id_stops_at_once() -> None:
    sessions = [a_running_session(id="b"), a_running_session(id="a")]
    assert funds_end(Decimal(1), sessions, T0 + 30 * SECOND) == FundsEnd(T0 + 30 * SECOND, "a")


@pytest.mark.parametrize(
    ("joining", "funds", "begins"),
    [
        pytest.param({"id": "a"}, 2, True, id="its block and the other's are paid"),
        pytest.param({"id": "a"}, 1, False, id="the other's block has begun, whatever the ids"),
        pytest.param({"id": "a", "price_per_node_hour": Decimal(0)}, 1, True, id="it is free"),
        pytest.param(
            {"id": "a", "ran_microseconds": 30_000_000, "charged": Decimal(1)},
            0,
            True,
            id="it continues within a block that it has paid",
        ),
        pytest.param(
            {"id": "a", "ran_microseconds": 60_000_000, "charged": Decimal(1)},
            1,
            False,
            id="it continues where its next block begins",
        ),
    ],
)
def test_what_begins_at_one_instant_is_paid_in_the_order_of_beginning(
    joining: dict[str, Any], funds: int, begins: bool
) -> None:
    running = [a_running_session(id="b")]
    assert can_begin(Decimal(funds - 1), running, a_running_session(**joining), T0, Decimal(1)) == begins


def test_prices_below_the_rounding_end_where_the_rounded_cost_does() -> None:
    session = a_running_session(price_per_node_hour=Decimal("0.0001"), block_seconds=1)
    at = funds_end(Decimal(0), [session], T0)
    assert at is not None
    assert cost_by(session, at.at - TICK) == 0 < cost_by(session, at.at)


def test_a_session_that_begins_later_is_counted_from_there() -> None:
    late = a_running_session(id="late", running_since=T0 + HOUR)
    assert funds_end(Decimal(3), [late], T0) == FundsEnd(T0 + HOUR + 3 * MINUTE, "late")
    assert funds_end(Decimal(0), [late], T0) == FundsEnd(T0 + HOUR, "late")


_ANY_RUNNING = st.builds(
    lambda price, block, began, ran: a_running_session(
        price_per_node_hour=price,
        block_seconds=block,
        running_since=T0 - began,
        ran_microseconds=ran // TICK,
    ),
    SMALL_PRICES,
    st.sampled_from([30, 60]),
    st.integers(0, 12).map(lambda n: n * 15 * SECOND),
    st.integers(0, 8).map(lambda n: n * 10 * SECOND),
)


def _running(least: int, most: int) -> st.SearchStrategy[list[Session]]:
    """Name them by their places in the list: no draw is thrown away for a name that is taken."""
    return st.lists(_ANY_RUNNING, min_size=least, max_size=most).map(
        lambda sessions: [replace(one, id=name) for one, name in zip(sessions, "dbca", strict=False)]
    )


def _slowly(balance: Decimal, running: Sequence[Session], since: datetime) -> FundsEnd | None:
    """Compute the same block by block, second by second: every instant here is a whole second."""
    for n in range(3600):
        at = since + n * SECOND
        paid = {s.id: cost_by(s, at - TICK) if s.running_since != at else _before(s) for s in running}
        for session in sorted(running, key=lambda s: s.id):
            paid[session.id] = cost_by(session, at)
            if sum(paid.values()) > balance:
                return FundsEnd(at, session.id)
    return None


def _before(session: Session) -> Decimal:
    return cost_by(replace(session, running_since=None, running_at=None), T0)


@given(_running(1, 4), st.integers(0, 120))
def test_the_end_of_the_funds_is_what_a_slow_loop_finds(sessions: list[Session], quarters: int) -> None:
    balance = Decimal(quarters) / 4
    slowly, end = _slowly(balance, sessions, T0), funds_end(balance, sessions, T0)
    if slowly is None:
        assert end is not None
        assert end.at >= T0 + HOUR, "the slow loop has searched an hour"
    else:
        assert end == slowly


@given(
    _running(1, 4), st.integers(0, 80_000_000)
)  # the cheapest costs more within the hundred years of the search
def test_until_the_funds_end_everything_is_paid(sessions: list[Session], millionths: int) -> None:
    began = sum((cost_by(s, T0) for s in sessions), Decimal(0))
    balance = began + Decimal(millionths) / 1_000_000
    end = funds_end(balance, sessions, T0)
    assert end is not None
    assert end.at > T0, "all that has begun is paid"
    assert sum(cost_by(s, end.at - TICK) for s in sessions) <= balance
    assert sum(cost_by(s, end.at) for s in sessions) > balance


# admission


@pytest.mark.parametrize(
    ("active", "balance", "missing"),
    [
        pytest.param([], 10, None, id="ten minutes are paid"),
        pytest.param([], "9.99", "0.01", id="a cent is missing"),
        pytest.param([a_starting_session()], 19, 1, id="one that starts counts as running"),
        pytest.param([a_running_session()], 21, None, id="one that runs continues from where it is"),
        pytest.param([a_running_session()], 20, 1, id="and begins a block within the time"),
        pytest.param([a_running_session(charged=Decimal(1))], 20, None, id="what is charged is paid"),
        pytest.param(
            [a_session(state=State.STOPPING, running_at=T0, ran_microseconds=90_000_000)],
            11,
            1,
            id="one that stops still has to pay what it cost",
        ),
    ],
)
def test_admission_needs_funds(active: list[Session], balance: object, missing: object) -> None:
    expected = None if missing is None else Decimal(str(missing))
    now = T0 + 30 * SECOND
    assert funded(Decimal(str(balance)), active, a_session(), now, 600) == expected


def test_an_overdraft_admits() -> None:
    assert funded(Decimal(0), [], a_session(), T0, 600, Decimal(10)) is None


@pytest.mark.parametrize(
    ("seconds", "needed"),
    [
        pytest.param(0, 1, id="the first block in any case"),
        pytest.param(61, 2, id="rounded up to whole blocks"),
    ],
)
def test_the_time_to_be_funded_is_whole_blocks(seconds: int, needed: int) -> None:
    assert funded(Decimal(0), [], a_session(), T0, seconds) == needed


@given(_running(0, 3), st.integers(1, 40), st.integers(0, 120))
def test_whoever_is_admitted_is_paid_for_the_whole_time(
    active: list[Session], half_minutes: int, quarters: int
) -> None:
    balance, seconds, joining = Decimal(quarters) / 4, half_minutes * 30, a_session(id="z")
    began = replace(joining, running_since=T0, running_at=T0)
    spent = Decimal(0)
    for session in (*active, began):
        whole = -(-seconds // session.block_seconds) * session.block_seconds
        spent += cost_by(session, T0 + whole * SECOND - TICK)
    missing = funded(balance, active, joining, T0, seconds)
    assert missing == (spent - balance if spent > balance else None)


# the rest


def test_only_what_runs_burns() -> None:
    sessions = [a_running_session(nodes=2), a_starting_session(), a_running_session()]
    assert burn_per_hour(sessions) == 180
    assert burn_per_hour([]) == 0


def test_money_at_risk_grows_with_the_time_since_the_stop() -> None:
    assert money_at_risk(Decimal("1.20"), 2, T0, T0 + 90 * MINUTE) == Decimal("3.60")
    assert money_at_risk(Decimal("1.20"), 2, T0, T0 - SECOND) == 0


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("25.00", Decimal(25)),
        ("0.000001", Decimal("0.000001")),
        ("-3", Decimal(-3)),
        ("0.0000001", None),
        ("1e15", None),
        ("NaN", None),
        ("Infinity", None),
        ("ten", None),
        ("", None),
    ],
)
def test_amounts_as_people_write_them(text: str, amount: Decimal | None) -> None:
    assert parse_amount(text) == amount


def test_the_next_block_begins_a_block_after_the_last_over_all_intervals() -> None:
    running = a_running_session(block_seconds=60, ran_microseconds=90 * 1_000_000)
    assert next_block_at(running, T0) == T0 + 30 * SECOND
    assert next_block_at(running, T0 + 30 * SECOND - TICK) == T0 + 30 * SECOND
    assert next_block_at(running, T0 + 30 * SECOND) == T0 + 90 * SECOND
    assert next_block_at(a_starting_session(), T0) is None


def test_what_is_metered_costs_what_its_session_does() -> None:
    running = a_running_session(nodes=3, ran_microseconds=7)
    at = T0 + 10 * MINUTE
    assert cost_by(Metered.of(running), at) == cost_by(running, at)
    assert cost_if_stopped_at(Metered.of(running), at) == cost_if_stopped_at(running, at)
    assert Metered.of(running).ever_ran


def test_many_tiny_costs_that_are_rounded_up_together_end_the_funds_there() -> None:
    """A sixtieth of a millionth a block: each begins to cost something with its block beyond the half."""
    price = Decimal("0.000001")
    running = [a_running_session(id=f"s{n:02}", price_per_node_hour=price) for n in range(10)]
    end = funds_end(Decimal("0.000005"), running, T0 + 28 * MINUTE)
    assert end == FundsEnd(T0 + 30 * MINUTE, "s05")


@pytest.mark.parametrize(
    ("max_cost", "price", "expected"),
    [
        pytest.param("1", "60", None, id="just one block"),
        pytest.param("0.999999", "60", Decimal(1), id="not quite"),
        pytest.param("0.000001", "0", None, id="free"),
        pytest.param(None, "60", None, id="no limit"),
    ],
)
def test_a_max_cost_pays_at_least_one_block(
    max_cost: str | None, price: str, expected: Decimal | None
) -> None:
    limit = None if max_cost is None else Decimal(max_cost)
    assert first_block_beyond(a_session(max_cost=limit, price_per_node_hour=Decimal(price))) == expected
