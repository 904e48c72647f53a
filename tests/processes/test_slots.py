"""How many calls one worker process has under way, and how long its claims last."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.flows.engine.services import LEASE_MARGIN, close_lease, open_lease, ping_lease
from orchestrator.flows.engine.slots import AT_FIRST, LEAST, SOON, TOTALS, Pace, Slots
from orchestrator.rules.states import Step
from orchestrator.rules.values import Policy


def test_a_provider_takes_up_to_its_cap() -> None:
    slots = Slots({"alpha": 3}, {Step.PING: 100})
    assert slots.take(Step.PING, "alpha") == 3
    assert slots.take(Step.PING, "alpha") == 0


def test_one_provider_holds_at_most_half() -> None:
    slots = Slots({"alpha": 1000, "beta": 1000}, {Step.OPEN: 10})
    assert slots.take(Step.OPEN, "alpha") == 5
    assert slots.take(Step.OPEN, "beta") == 5
    assert slots.take(Step.OPEN, "alpha") == 0


@pytest.mark.parametrize("step", TOTALS)
@pytest.mark.parametrize("providers", [2, 3, 7, 40])
def test_however_many_hang_a_share_is_left_to_each_of_the_others(step: Step, providers: int) -> None:
    names = [f"p{n}" for n in range(providers)]
    slots = Slots(dict.fromkeys(names, 5000), TOTALS)
    taken = [slots.take(step, name) for _ in range(2) for name in names]
    assert min(taken[:providers]) >= max(1, TOTALS[step] // (4 * providers))
    assert taken[0] == TOTALS[step] // 2, "the first that hangs"
    assert taken[providers:] == [0] * providers
    assert slots.held() <= TOTALS[step]
    slots.release(step, names[-1], taken[providers - 1])
    assert [slots.take(step, name) for name in names[:-1]] == [0] * (providers - 1)
    assert slots.take(step, names[-1]) >= 1


def test_a_share_is_left_where_there_are_few_files() -> None:
    step = Step.CLOSE
    slots = Slots(dict.fromkeys("abcd", 1000), TOTALS, most=64)
    taken = [slots.take(step, name) for name in "abcd"]
    assert min(taken) >= 4
    assert sum(taken) <= 64


@pytest.mark.parametrize(("step", "hang"), [(Step.OPEN, 2), (Step.CLOSE, 4)])
def test_as_many_as_hung_together_once_leave_room_for_the_next(step: Step, hang: int) -> None:
    names = [f"p{n}" for n in range(hang + 2)]
    slots = Slots(dict.fromkeys(names, 64))
    for name in names[:hang]:
        slots.take(step, name)
    assert all(slots.take(step, name) >= 8 - hang for name in names[hang:])


def test_no_more_is_taken_than_may_be_claimed_for_another_reason() -> None:
    freed: list[Step] = []
    slots = Slots({"alpha": 4}, {Step.PING: 100})
    slots.on_free = freed.append
    assert slots.take(Step.PING, "alpha", 3) == 3
    assert slots.any_free(Step.PING)
    assert not slots.any_free(Step.PING, 0)
    assert freed == []
    slots.release(Step.PING, "alpha", 2)
    assert freed == [Step.PING], "whoever found nothing to take is told when something has ended"


def test_as_much_is_claimed_as_lately_began_in_good_time() -> None:
    pace = Pace()
    expected = int(AT_FIRST * SOON)
    assert pace.room() == expected
    slow = pace.batch(100, now=10.0)
    assert pace.room() == expected - 100
    for n in range(100):
        slow.begin_one(11.0 + n / 100)  # the last of them 1.99 s after the claim
    assert pace.room() == int(100 / 1.99 * SOON)
    fast = pace.batch(20, now=20.0)
    for _ in range(20):
        fast.begin_one(20.0 + 1 / 64)
    assert pace.room() == int(20 * 64 * SOON)


def test_what_waits_before_a_claim_counts_for_its_pace() -> None:
    pace = Pace()
    first, second = pace.batch(50, now=0.0), pace.batch(50, now=0.0)
    for one in [*[first] * 50, *[second] * 50]:
        one.begin_one(1.0)
    assert pace.room() == int(100 * SOON)


def test_a_process_that_stood_still_claims_a_little_all_the_same() -> None:
    pace = Pace()
    pace.batch(1, now=0.0).begin_one(60.0)
    assert pace.room() == LEAST


def test_what_is_given_back_can_be_taken_again() -> None:
    slots = Slots({"alpha": 4}, {Step.CLOSE: 100})
    slots.take(Step.CLOSE, "alpha")
    slots.release(Step.CLOSE, "alpha", 3)
    slots.release(Step.CLOSE, "alpha", 0)
    assert slots.held() == 1
    assert slots.take(Step.CLOSE, "alpha") == 3


def test_kinds_of_work_do_not_take_each_others_slots() -> None:
    slots = Slots({"alpha": 4}, {Step.CLOSE: 8, Step.PING: 8})
    assert slots.take(Step.PING, "alpha") == 4
    assert slots.take(Step.CLOSE, "alpha") == 4


def test_a_provider_without_a_cap_takes_one_at_a_time() -> None:
    assert Slots({}, TOTALS).take(Step.PING, "unknown") == 1


def test_the_total_holds_with_many_threads() -> None:
    slots = Slots({f"p{n}": 7 for n in range(40)}, {Step.PING: 50})
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda n: slots.take(Step.PING, f"p{n}"), range(40)))
    assert sum(taken) == 50 == slots.held()


def test_leases_of_the_default_policy_are_the_designs() -> None:
    policy = Policy()
    assert (ping_lease(policy), open_lease(policy), close_lease(policy)) == (90, 540, 180)


@pytest.mark.parametrize("timeout", [0.001, 1, 10, 600])
def test_every_lease_outlasts_its_calls_deadline(timeout: float) -> None:
    policy = Policy(ping_timeout_seconds=timeout, open_timeout_seconds=timeout, close_timeout_seconds=timeout)
    shortest = min(ping_lease(policy), open_lease(policy), close_lease(policy))
    assert shortest >= timeout + LEASE_MARGIN
