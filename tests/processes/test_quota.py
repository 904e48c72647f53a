"""A hundred creates at once, over several worker processes: the quota holds."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.rules.states import StopReason
from tests.processes.platform import Platform, morpheus
from tests.waiting import eventually

pytestmark = pytest.mark.pooled

KEYS = [f"sk-m{n}" for n in range(1, 6)]


def arrange(platform: Platform) -> None:
    platform.simulate(morph=morpheus(*KEYS))
    platform.configure(morph={"close_retry_seconds": 0.05})
    for n in (1, 2):
        platform.start("worker", name=f"worker-{n}")
    platform.start("scheduler")
    platform.open_account()
    platform.put_model("moral", {"morph": "moral-1"})


def create_a_hundred(platform: Platform, **kwargs: Any) -> list[dict[str, Any]]:
    """Send a hundred creates from several threads at once."""

    def send(n: int) -> str:
        return platform.jobs.send(
            "session.create", account_id="acme", model_id="moral", name=f"s{n}", **kwargs
        )

    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(send, range(100)))
    return [platform.jobs.outcome(task_id) for task_id in sent]


def most_at_once(platform: Platform) -> int:
    """Return the most sessions that were open at the provider at one time, over all keys."""
    level = peak = 0
    changes: list[tuple[int, int]] = []
    for session in platform.simulator.get("sessions"):
        changes.append((session["opened_order"], +1))
        if session["closed_order"] is not None:
            changes.append((session["closed_order"], -1))
    for _, change in sorted(changes):
        level += change
        peak = max(peak, level)
    return peak


def test_of_a_hundred_creates_at_once_exactly_two_start(platform: Platform) -> None:
    arrange(platform)
    outcomes = create_a_hundred(platform)
    started = [outcome["result"]["id"] for outcome in outcomes if outcome["ok"]]
    refused = Counter(outcome["error"]["code"] for outcome in outcomes if not outcome["ok"])
    assert len(started) == 2
    assert set(refused) <= {"quota_concurrent_exceeded", "quota_total_exceeded"}
    assert refused.total() == 98
    assert len(platform.sessions()) == 2
    platform.until_running(*started)
    assert most_at_once(platform) == 2


def test_of_a_hundred_that_may_wait_twenty_are_kept_and_two_run_at_a_time(platform: Platform) -> None:
    arrange(platform)
    outcomes = create_a_hundred(platform, on_quota="queue", stop={"max_duration_seconds": 1})
    refused = Counter(outcome["error"]["code"] for outcome in outcomes if not outcome["ok"])
    assert refused == {"quota_total_exceeded": 80}
    kept = [session.id for session in platform.sessions()]
    assert len(kept) == 20
    waiting = [session.id for session in platform.sessions() if session.state == "queued"]
    gave_up = [platform.jobs.send("session.close", session_id=session_id) for session_id in waiting[:12]]
    for task_id in gave_up:
        platform.jobs.outcome(task_id)
    platform.until_over(*kept)
    reasons = Counter(session.stop_reason for session in platform.sessions())
    assert reasons[StopReason.MAX_DURATION] >= 8
    assert reasons.total() == 20
    assert most_at_once(platform) == 2
    eventually(lambda: not platform.simulator.get("open"), "nothing is left open at the provider")
