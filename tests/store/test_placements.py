"""Claims of placements, and the leases on their credentials."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.values import Due, Lease
from orchestrator.store.database import Database
from orchestrator.store.queries.placements import Handles, Rivals
from tests.due import token_of
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import (
    a_closing,
    a_created,
    a_credential,
    a_placement,
    an_opening,
    at_once,
    holding,
    keep,
    session_id,
    statements,
    the_credential,
    the_placement,
)

pytestmark = pytest.mark.pooled

LEASE = 180


def claim(
    database: Database, step: Step = Step.CLOSE, limit: int = 10, *, now: datetime = T0, **more: Any
) -> list[int]:
    """Claim; return the numbers of the placements."""
    given: dict[str, Any] = {
        "token": "mine",
        "lease_seconds": LEASE,
        "fallback_seconds": 0,
        "rest_seconds": 30,
    }
    taken = database.transact(lambda tx: tx.claims.claim(step, "alpha", limit, now=now, **(given | more)))
    return sorted(int(placement.id[-5:]) for placement in taken)


def again_at(database: Database, n: int, at: datetime) -> None:
    """Plan the next try of a close that proved nothing."""
    placement = the_placement(database, n)
    later = replace(placement, due=Due(Step.CLOSE, at), lease=None)
    database.transact(lambda tx: tx.placements.save(placement, later))


def keep_closing(database: Database, *, serialised: bool, credentials: tuple[str, ...]) -> None:
    """Insert orphans to be closed, one for each named credential, the first due first."""
    refs = sorted(set(credentials))
    keep(database, *(a_credential(ref, exclusive=False) for ref in refs))
    for n, ref in enumerate(credentials, start=1):
        due = T0 - MINUTE + n * SECOND
        orphan = a_closing(
            n, session_id=None, credential=ref, serialised=serialised, due=Due(Step.CLOSE, due)
        )
        keep(database, orphan)


def test_only_what_is_due_at_this_provider_is_claimed_longest_overdue_first(database: Database) -> None:
    keep(database, *(a_created(n) for n in range(1, 7)))
    keep(
        database,
        a_closing(1),
        a_closing(2, due=Due(Step.CLOSE, T0 - MINUTE)),
        a_closing(3, due=Due(Step.CLOSE, T0 + SECOND)),
        a_closing(4, provider="beta"),
        an_opening(5),
        a_placement(6),
    )
    assert claim(database, limit=1) == [2]
    assert claim(database, limit=9) == [1]


def test_credentials_that_a_worker_lacks_are_left_to_others(database: Database) -> None:
    keep(database, *(a_created(n) for n in (1, 2, 3)))
    keep(database, a_closing(1), a_closing(2, credential="env:B"), a_closing(3, credential=None))
    assert claim(database, lacking={"env:A"}) == [2, 3]


@pytest.mark.parametrize(
    ("step", "fallback_seconds", "follows", "after"),
    [
        pytest.param(Step.OPEN, 600, Step.RESOLVE, 600, id="an open is resolved"),
        pytest.param(Step.OPEN, 10, Step.RESOLVE, LEASE, id="but never before the lease ends"),
        pytest.param(Step.RESOLVE, 0, Step.RESOLVE, LEASE, id="a resolve is repeated"),
        pytest.param(Step.CLOSE, 0, Step.CLOSE, LEASE, id="a close is repeated"),
    ],
)
def test_a_claim_writes_the_fallback_step(
    database: Database, step: Step, fallback_seconds: int, follows: Step, after: int
) -> None:
    keep(database, a_created(1), an_opening(1, state=PlacementState.UNKNOWN, due=Due(step, T0)))
    assert claim(database, step, fallback_seconds=fallback_seconds) == [1]
    claimed = the_placement(database)
    assert claimed.due == Due(follows, T0 + after * SECOND)
    assert claimed.lease == Lease("mine", T0 + LEASE * SECOND)
    assert (claimed.attempts, claimed.revision) == (1, 0)


def test_the_first_open_says_when_it_was_sent(database: Database) -> None:
    keep(database, a_created(1), a_created(2))
    keep(database, an_opening(1), an_opening(2, sent_at=T0 - HOUR))
    claim(database, Step.OPEN)
    assert the_placement(database).sent_at == T0
    assert the_placement(database, 2).sent_at == T0 - HOUR


def test_a_close_says_nothing_of_when_the_open_was_sent(database: Database) -> None:
    keep(database, a_closing(1, session_id=None))
    claim(database)
    assert the_placement(database).sent_at is None


def test_a_claimed_placement_is_due_again_after_its_lease(database: Database) -> None:
    keep(database, a_closing(1, session_id=None))
    assert claim(database) == [1]
    assert claim(database, now=T0 + (LEASE - 1) * SECOND) == []
    assert claim(database, now=T0 + LEASE * SECOND, token="yours") == [1]
    assert (token_of(the_placement(database)), the_placement(database).attempts) == ("yours", 2)


def test_two_claims_at_once_never_take_the_same_placement(database: Database) -> None:
    keep(database, *(a_closing(n, session_id=None) for n in range(1, 31)))
    taken = at_once(*(lambda name=f"t{n}": claim(database, token=name) for n in range(3)))
    numbers = [n for some in taken for n in some]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) + len(claim(database, limit=30)) == 30


def test_a_claim_passes_over_placements_that_another_holds(on_postgresql: Database) -> None:
    keep(on_postgresql, a_closing(1, session_id=None), a_closing(2, session_id=None))
    with holding(on_postgresql, "SELECT 1 FROM placements WHERE id = 'placement-00001' FOR UPDATE"):
        assert claim(on_postgresql) == [2]


# one lifecycle call for each serialised credential


def test_calls_that_may_overlap_are_claimed_together(database: Database) -> None:
    keep_closing(database, serialised=False, credentials=("env:A", "env:A"))
    assert claim(database) == [1, 2]
    assert token_of(the_credential(database)) is None


def test_a_serialised_credential_takes_one_call_and_the_next_is_put_off_not_lost(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=("env:A", "env:A", "env:B"))
    assert claim(database) == [1, 3]
    waiting = the_placement(database, 2)
    assert waiting.due == Due(Step.CLOSE, T0)
    assert (token_of(waiting), waiting.attempts) == (None, 0)

    assert claim(database, now=T0 + SECOND, token="yours") == []  # the lease is held
    release(database, "mine", T0 + 2 * SECOND)
    assert claim(database, now=T0 + 2 * SECOND, token="yours") == [2]


def test_calls_of_one_credential_take_turns_though_all_of_them_come_again(database: Database) -> None:
    """With more calls than the credential has time for, each is tried as often as the others."""
    calls = 14
    keep_closing(database, serialised=True, credentials=("env:A",) * calls)
    taken: list[int] = []
    for look in range(4 * calls):
        now = T0 + 30 * look * SECOND
        for n in claim(database, limit=50, now=now):
            taken.append(n)
            again_at(database, n, now + 300 * SECOND)
        release(database, "mine", now)
    counts = [taken.count(n) for n in range(1, calls + 1)]
    assert max(counts) - min(counts) <= 1, counts


def test_a_call_that_waits_for_its_credential_keeps_its_turn(database: Database) -> None:
    """No later call overtakes it, however often others are tried meanwhile."""
    keep_closing(database, serialised=True, credentials=("env:A",) * 3)
    assert claim(database) == [1]
    for second in range(1, 10):
        if second == 4:
            due_at = T0 + 3.5 * SECOND
            late = a_closing(
                4, session_id=None, serialised=True, due=Due(Step.CLOSE, due_at), credential="env:A"
            )
            keep(database, late)
        assert claim(database, now=T0 + second * SECOND, token="yours") == []
    for n in (2, 3, 4):
        release(database, "mine", T0 + 10 * SECOND)
        assert claim(database, now=T0 + 10 * SECOND) == [n]


def test_a_lease_that_ran_out_is_taken_over_and_the_credential_rests(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=("env:A", "env:A"))
    assert claim(database) == [1]
    later = T0 + (LEASE + 1) * SECOND
    assert len(claim(database, now=later, token="yours")) == 1

    taken_over = the_credential(database)
    assert token_of(taken_over) == "yours"
    assert taken_over.resting_until == later + (LEASE + 30) * SECOND
    release(database, "mine", later + SECOND)  # the late worker gives nothing back
    assert the_credential(database) == taken_over
    release(database, "yours", later + SECOND)
    released = the_credential(database)
    assert released.lease is None
    assert released.resting_until == later + 31 * SECOND


def test_a_lease_given_back_in_time_lets_the_credential_go_on_at_once(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=("env:A",))
    claim(database)
    release(database, "mine", T0 + SECOND)
    released = the_credential(database)
    assert (released.lease, released.resting_until) == (None, None)


def test_a_paused_or_resting_credential_goes_on_closing(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=())
    resting = a_credential(paused_since=T0, resting_until=T0 + HOUR, retired=True)
    keep(database, resting, a_closing(1, session_id=None, serialised=True))
    assert claim(database) == [1]


def test_two_claims_at_once_lease_a_credential_once(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=("env:A",) * 10)
    taken = at_once(*(lambda name=f"t{n}": claim(database, limit=5, token=name) for n in range(3)))
    assert sum(map(len, taken)) == 1


# one session's placements


def test_placements_of_a_session_are_found_by_what_they_are(database: Database) -> None:
    ended = a_placement(1, state=PlacementState.CLOSED, proof="gone")
    closing = a_closing(2, session_id=session_id(1), n=2, unproven_since=T0 + MINUTE)
    serving = a_placement(3, session_id=session_id(1), n=3)
    earlier = a_closing(4, session_id=session_id(2), unproven_since=T0)
    keep(database, a_created(1), a_created(2), serving, closing, ended, earlier)
    with database.reading() as tx:
        assert tx.placements.of_session(session_id(1)) == [ended, closing, serving]
        assert tx.placements.unended(session_id(1)) == [closing, serving]
        assert tx.placements.serving(session_id(1)) == serving
        assert tx.placements.serving(session_id(2)) is None
        assert tx.placements.newest([session_id(1), session_id(2)]) == {
            session_id(1): serving,
            session_id(2): earlier,
        }
        assert tx.placements.unproven() == [earlier, closing]
        assert tx.placements.oldest_due() == {Step.CLOSE: T0}


def release(database: Database, token: str, now: datetime) -> None:
    database.transact(lambda tx: tx.credentials.release("alpha", "env:A", token, now, 30))


def test_releasing_twice_does_no_harm(database: Database) -> None:
    keep_closing(database, serialised=True, credentials=("env:A",))
    claim(database)
    release(database, "mine", T0 + timedelta(seconds=1))
    before = the_credential(database)
    release(database, "mine", T0 + HOUR)
    assert the_credential(database) == before


def test_handles_of_others_are_read_in_two_statements_for_all_that_were_claimed(database: Database) -> None:
    keep(database, *(a_created(n) for n in range(1, 6)))
    mine = [an_opening(n, sent_at=T0) for n in (1, 2)]
    over = {"state": PlacementState.CLOSED, "due": None, "proof": "said so"}
    keep(
        database,
        *mine,
        an_opening(3, handle="lives"),
        an_opening(4, handle="ended", ended_at=T0 + MINUTE, **over),
        an_opening(5, handle="elsewhere", provider="beta"),
    )
    since = {mine[0].id: T0, mine[1].id: T0 + 2 * MINUTE}
    with statements(database) as seen:
        found = database.transact(lambda tx: tx.placements.handles_since("alpha", since))
    assert len(seen) == 2
    assert found[mine[0].id] == Handles(known=frozenset({"lives", "ended"}), taken=frozenset({"lives"}))
    assert found[mine[1].id] == Handles(known=frozenset({"lives"}), taken=frozenset({"lives"}))
    its_own = {an_opening(5).id: T0}
    assert database.transact(lambda tx: tx.placements.handles_since("beta", its_own)) == {
        an_opening(5).id: Handles()
    }


def test_rivals_are_the_lost_opens_of_the_same_model_distinguished_by_whether_they_are_wanted(
    database: Database,
) -> None:
    lost = {"state": PlacementState.UNKNOWN, "due": Due(Step.RESOLVE, T0)}
    keep(database, *(a_created(n) for n in range(1, 6)))
    mine = an_opening(1, sent_at=T0, **lost)
    keep(
        database,
        mine,
        an_opening(2, sent_at=T0 + SECOND, **lost),
        an_opening(3, sent_at=T0 + MINUTE, closing_since=T0 + MINUTE, **lost),
        an_opening(4, sent_at=T0, provider_model_id="another", **lost),
        an_opening(5, sent_at=T0, provider="beta", **lost),
    )
    found = database.transact(lambda tx: tx.placements.rivals(mine))
    assert found == Rivals(wanted=(T0 + SECOND,), unwanted=(T0 + MINUTE,))
