"""The two hot queries: what a claim of pings takes and writes, and what a bulk settlement may change."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.values import Due, Lease, Session, Verdict
from orchestrator.store.database import Database
from orchestrator.store.queries.pings import GoodPing
from orchestrator.store.transaction import Transaction
from tests.due import due_at, token_of
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import (
    a_placement,
    a_running,
    at_once,
    holding,
    keep,
    meanwhile,
    run,
    session_id,
    the_session,
    wait_until_blocked,
)

pytestmark = pytest.mark.pooled

LEASE = 90
UNTIL = T0 + LEASE * SECOND


def claim(
    database: Database, limit: int = 100, *, token: str = "mine", now: datetime = T0, **more: Any
) -> list[int]:
    """Claim; return the numbers of the sessions."""
    taken = database.transact(
        lambda tx: tx.pings.claim("alpha", limit, now=now, token=token, lease_seconds=LEASE, **more)
    )
    return sorted(int(session.id[-5:]) for session, _ in taken)


def keep_running(database: Database, *sessions: Session) -> None:
    """Insert running sessions with an open placement each."""
    placements = [a_placement(int(s.id[-5:]), provider=s.provider, credential=s.credential) for s in sessions]
    keep(database, *sessions, *placements)


def good(n: int, **changes: Any) -> GoodPing:
    plain: dict[str, Any] = {
        "session_id": session_id(n),
        "token": "mine",
        "revision": 0,
        "at": T0 + SECOND,
        "latency_ms": 12,
        "ping_at": T0 + 30 * SECOND,
        "due": Due(Step.PING, T0 + 30 * SECOND),
    }
    return GoodPing(**(plain | changes))


def settle(database: Database, pings: Sequence[GoodPing]) -> set[int]:
    written = database.transact(lambda tx: tx.pings.settle_good(pings))
    return {int(name[-5:]) for name in written}


# claims


def test_only_what_is_due_is_claimed(database: Database) -> None:
    keep_running(
        database,
        a_running(1),
        a_running(2, due=Due(Step.PING, T0 + timedelta(microseconds=1))),
        a_running(3, due=Due(Step.WARN, T0)),
        a_running(4, provider="beta"),
    )
    assert claim(database) == [1]


def test_the_longest_overdue_are_claimed_first_and_no_more_than_asked_for(database: Database) -> None:
    keep_running(database, *(a_running(n, due=Due(Step.PING, T0 - n * SECOND)) for n in range(1, 6)))
    assert claim(database, limit=2) == [4, 5]
    assert claim(database, limit=2) == [2, 3]
    assert claim(database, limit=2) == [1]
    assert claim(database, limit=2) == []


def test_credentials_that_a_worker_lacks_are_left_to_others(database: Database) -> None:
    keep_running(database, a_running(1), a_running(2, credential="env:B"), a_running(3, credential=None))
    assert claim(database, lacking={"env:A"}) == [2, 3]  # where no secret is needed none is missing
    assert claim(database) == [1]


def test_a_claimed_session_comes_with_its_open_placement(database: Database) -> None:
    placement = a_placement(1, n=2, exclusive=True)
    before = a_placement(2, session_id=session_id(1), state=PlacementState.CLOSED, proof="gone")
    keep(database, a_running(1), before, placement)
    taken = database.transact(lambda tx: tx.pings.claim("alpha", 5, now=T0, token="t", lease_seconds=LEASE))
    assert taken == [(the_session(database), placement)]


def test_a_claim_writes_lease_and_attempt(database: Database) -> None:
    keep_running(database, a_running(1))
    claim(database)
    claimed = the_session(database)
    assert claimed.lease == Lease("mine", UNTIL, T0)
    assert (claimed.attempts, claimed.revision, claimed.ping_at) == (1, 0, UNTIL)


@pytest.mark.parametrize(
    ("stop_at", "warn_at", "step", "at"),
    [
        pytest.param(T0 + HOUR, None, Step.PING, UNTIL, id="a new ping at the lease's end"),
        pytest.param(T0 + HOUR, T0 + MINUTE, Step.WARN, T0 + MINUTE, id="a warning comes sooner"),
        pytest.param(T0 + MINUTE, None, Step.STOP, T0 + MINUTE, id="the stop comes sooner"),
        pytest.param(T0 + MINUTE, T0 + 30 * SECOND, Step.WARN, T0 + 30 * SECOND, id="warning, then stop"),
        pytest.param(T0 + 30 * SECOND, T0 + MINUTE, Step.STOP, T0 + 30 * SECOND, id="stop before warning"),
        pytest.param(T0 + MINUTE, T0 + MINUTE, Step.STOP, T0 + MINUTE, id="a stop goes before a warning"),
        pytest.param(T0 + HOUR, UNTIL, Step.WARN, UNTIL, id="a warning goes before a ping"),
        pytest.param(UNTIL, None, Step.STOP, UNTIL, id="a stop goes before a ping"),
        pytest.param(UNTIL, UNTIL, Step.STOP, UNTIL, id="a stop goes before both"),
        pytest.param(T0 - MINUTE, None, Step.STOP, T0 - MINUTE, id="an overdue stop stays overdue"),
    ],
)
def test_a_claim_writes_the_fallback_step(
    database: Database, stop_at: datetime, warn_at: datetime | None, step: Step, at: datetime
) -> None:
    keep_running(database, a_running(1, stop_at=stop_at, warn_at=warn_at))
    claim(database)
    claimed = the_session(database)
    assert claimed.due == Due(step, at)


def test_a_starting_session_without_a_stop_is_pinged_again(database: Database) -> None:
    keep_running(database, a_running(1, state=State.STARTING, running_since=None, stop_at=None))
    assert claim(database) == [1]
    assert the_session(database).due == Due(Step.PING, UNTIL)


def test_times_written_by_a_claim_compare_with_those_written_by_a_save(on_sqlite: Database) -> None:
    keep_running(on_sqlite, a_running(1), a_running(2, due=Due(Step.PING, UNTIL)))
    claim(on_sqlite)
    stored = on_sqlite.transact(
        lambda tx: tx.connection.execute(text("SELECT DISTINCT next_step_at FROM sessions")).scalars().all()
    )
    assert len(stored) == 1


def test_a_claimed_session_is_due_again_after_its_lease(database: Database) -> None:
    keep_running(database, a_running(1))
    assert claim(database) == [1]
    assert claim(database, now=UNTIL - SECOND) == []
    assert claim(database, token="yours", now=UNTIL) == [1]
    assert (token_of(the_session(database)), the_session(database).attempts) == ("yours", 2)


def test_two_claims_at_once_never_take_the_same_row(database: Database) -> None:
    keep_running(database, *(a_running(n) for n in range(1, 41)))
    taken = at_once(*(lambda name=f"t{n}": claim(database, 10, token=name) for n in range(4)))
    assert sorted(n for numbers in taken for n in numbers) == sorted(
        {n for numbers in taken for n in numbers}
    )
    assert sum(map(len, taken)) + len(claim(database)) == 40


def test_a_claim_passes_over_rows_that_another_holds(on_postgresql: Database) -> None:
    keep_running(on_postgresql, *(a_running(n, due=Due(Step.PING, T0 - n * SECOND)) for n in range(1, 4)))
    with holding(on_postgresql, f"SELECT 1 FROM sessions WHERE id = '{session_id(3)}' FOR UPDATE"):
        assert claim(on_postgresql, limit=1) == [2]


def test_no_plan_makes_a_claim_take_more_than_asked_for(on_postgresql: Database) -> None:
    keep_running(on_postgresql, *(a_running(n, due=Due(Step.PING, T0 - n * SECOND)) for n in range(1, 21)))

    def claim_with_nested_loops(tx: Transaction) -> int:
        for way in ("hashagg", "hashjoin", "mergejoin", "material", "sort"):
            tx.connection.execute(text(f"SET LOCAL enable_{way} = off"))
        return len(tx.pings.claim("alpha", 3, now=T0, token="mine", lease_seconds=LEASE))

    assert on_postgresql.transact(claim_with_nested_loops) == 3


# settlements


def test_a_good_ping_is_written_and_gives_the_lease_back(database: Database) -> None:
    keep_running(database, a_running(1))
    claim(database)
    claim(database, now=UNTIL)  # the first claim was not settled in time
    passed = settle(database, [good(1, due=Due(Step.WARN, T0 + 20 * SECOND))])
    assert passed == {1}
    settled = the_session(database)
    assert (settled.last_verdict, settled.last_latency_ms, settled.last_ping_detail) == (
        Verdict.ALIVE,
        12,
        "",
    )
    assert settled.last_ping_at == settled.last_alive_at == T0 + SECOND
    assert settled.ping_at == T0 + 30 * SECOND
    assert settled.due == Due(Step.WARN, T0 + 20 * SECOND)
    assert settled.lease is None
    assert (settled.attempts, settled.revision) == (0, 0)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param("revision = 1", id="the revision moved"),
        pytest.param("lease_token = 'another'", id="another holds it"),
        pytest.param("lease_token = NULL", id="no worker holds it"),
        pytest.param("state = 'stopping', running_since = NULL", id="it stops"),
        pytest.param("state = 'starting', running_since = NULL", id="it moves"),
    ],
)
def test_a_settlement_leaves_alone_what_moved_meanwhile(database: Database, changed: str) -> None:
    keep_running(database, *(a_running(n) for n in (1, 2, 3)))
    claim(database)
    run(database, f"UPDATE sessions SET {changed} WHERE id = '{session_id(2)}'")
    moved = the_session(database, 2)

    passed = settle(database, [good(3), good(2), good(1)])
    assert passed == {1, 3}
    assert the_session(database, 2) == moved


def test_a_settlement_of_nothing_or_nobody_writes_nothing(database: Database) -> None:
    passed = settle(database, [])
    assert passed == set()
    passed = settle(database, [good(1)])
    assert passed == set()


def test_five_hundred_are_settled_in_one_call(database: Database) -> None:
    keep_running(database, *(a_running(n) for n in range(1, 501)))
    assert len(claim(database, 500)) == 500
    pings = [good(n, latency_ms=n, due=Due(Step.PING, T0 + n * SECOND)) for n in range(1, 501)]
    passed = settle(database, pings)
    assert passed == set(range(1, 501))
    kept = database.transact(lambda tx: tx.sessions.listed(limit=500))
    assert {s.last_latency_ms for s in kept} == set(range(1, 501))
    assert all(due_at(s) == T0 + (s.last_latency_ms or 0) * SECOND for s in kept)


def test_a_settlement_sees_what_changed_while_it_waited_for_the_row(on_postgresql: Database) -> None:
    keep_running(on_postgresql, a_running(1), a_running(2))
    claim(on_postgresql)
    stop = f"UPDATE sessions SET revision = 1, interactions = 9 WHERE id = '{session_id(1)}'"
    with (
        holding(on_postgresql, stop) as job,
        meanwhile(lambda: settle(on_postgresql, [good(1), good(2)])) as settled,
    ):
        wait_until_blocked(on_postgresql)
        job.commit()
        assert settled.result(10) == {2}
    assert the_session(on_postgresql).last_alive_at is None


def test_settlements_in_opposite_orders_do_not_deadlock(on_postgresql: Database) -> None:
    keep_running(on_postgresql, *(a_running(n) for n in range(1, 101)))
    claim(on_postgresql)
    pings = [good(n) for n in range(1, 101)]
    written = at_once(
        lambda: settle(on_postgresql, pings), lambda: settle(on_postgresql, list(reversed(pings)))
    )
    assert sorted(map(len, written)) == [0, 100]
    assert on_postgresql.retries == 0


# never begun


@pytest.mark.parametrize(
    ("stop_at", "step", "at"),
    [
        pytest.param(T0 + HOUR, Step.PING, T0 + SECOND, id="due at once"),
        pytest.param(T0 + MINUTE, Step.PING, T0 + SECOND, id="though a stop was to follow silence"),
        pytest.param(T0 + SECOND, Step.STOP, T0 + SECOND, id="unless a stop comes first"),
    ],
)
def test_a_ping_that_was_never_begun_is_due_again(
    database: Database, stop_at: datetime, step: Step, at: datetime
) -> None:
    keep_running(database, a_running(1, stop_at=stop_at))
    claim(database)
    database.transact(lambda tx: tx.pings.release([session_id(1)], "mine", T0 + SECOND))
    released = the_session(database)
    assert released.due == Due(step, at)
    assert released.ping_at == T0 + SECOND
    assert released.lease is None


def test_only_the_holder_gives_back(database: Database) -> None:
    keep_running(database, a_running(1))
    claim(database)
    before = the_session(database)
    database.transact(lambda tx: tx.pings.release([session_id(1)], "yours", T0))
    assert the_session(database) == before
