"""A follower of the events sees each once, whatever the order in which transactions commit."""

from datetime import timedelta

from orchestrator.cli.following import GIVE_UP_AFTER, Follower
from orchestrator.store.queries.outbox import WaitingEvent
from tests.rules.builders import SECOND, T0


def event(seq: int) -> WaitingEvent:
    return WaitingEvent(seq=seq, id=str(seq), type="told", subject="a", time=T0, data={})


def test_a_place_that_was_jumped_over_is_waited_for_until_it_is_filled() -> None:
    follower = Follower()
    follower.saw([event(7), event(10)], T0)
    assert (follower.after, sorted(follower.gaps)) == (10, [8, 9])
    follower.saw([event(9), event(11)], T0 + SECOND)
    assert (follower.after, sorted(follower.gaps)) == (11, [8])


def test_a_place_that_nobody_fills_was_rolled_back() -> None:
    follower = Follower()
    follower.saw([event(1), event(3)], T0)
    follower.saw([], T0 + GIVE_UP_AFTER)
    assert follower.gaps == [2]
    follower.saw([], T0 + GIVE_UP_AFTER + timedelta(microseconds=1))
    assert follower.gaps == []


def test_where_it_begins_nothing_is_missing() -> None:
    follower = Follower()
    follower.saw([event(500)], T0)
    assert follower.gaps == []


def test_a_jump_of_the_sequence_is_not_searched_for_ever() -> None:
    follower = Follower()
    follower.saw([event(1), event(10**9)], T0)
    assert len(follower.gaps) == 1000
