"""kill -9 in the middle of opens and of pings: nothing is lost, nothing is doubled."""

import os
import signal
from datetime import timedelta

from tests.processes.platform import Platform, Running, morpheus, openai
from tests.processes.test_pings import multiply
from tests.waiting import eventually

KEYS = [f"sk-m{n}" for n in range(1, 9)]


def under_way(platform: Platform, operation: str) -> int:
    """Return calls that the simulated platforms have not answered yet."""
    calls = platform.simulator.calls(operation=operation)
    return sum(call["ended_at"] is None for call in calls)


def two_workers(platform: Platform) -> tuple[Running, Running]:
    first, second = (platform.start("worker", name=f"worker-{n}") for n in (1, 2))
    platform.start("scheduler")
    platform.open_account(plan="contract")
    for running in (first, second):
        eventually(lambda: running.text().count(" ready.") == 5, f"{running.name} is ready")  # noqa: B023
    return first, second


def test_a_worker_killed_during_opens_loses_and_doubles_nothing(platform: Platform) -> None:
    simulator = platform.simulate(morph=morpheus(*KEYS))
    hasty = {"opens_settle_within_seconds": 0, "close_retry_seconds": 0.05}
    platform.configure({"open_timeout_seconds": 2, "close_timeout_seconds": 1}, morph=hasty)
    first, _ = two_workers(platform)
    platform.put_model("moral", {"morph": "moral-1"})
    simulator.fault("slow", operation="open", times=len(KEYS), params={"seconds": 1})
    sessions = [platform.create_session("moral") for _ in KEYS]
    eventually(lambda: under_way(platform, "open"), "opens are under way")
    first.kill_all()
    platform.start("worker", name="worker-3")

    platform.until_running(*sessions)
    assert simulator.get("report")["opens"] == len(KEYS), "what was opened was adopted, not opened again"
    for session_id in sessions:
        platform.jobs.send("session.close", session_id=session_id)
    platform.until_over(*sessions)
    assert {platform.session(session_id).stop_reason for session_id in sessions} == {"user"}
    report = simulator.get("report")
    assert (report["opens"], report["closes"]) == (len(KEYS), len(KEYS))
    assert (report["open_now"], report["leaked"], report["late_pings"]) == (0, 0, [])
    assert set(report["most_active_per_key"]["morph"].values()) == {1}


def test_a_worker_killed_during_pings_kills_no_session_and_delays_no_stop(platform: Platform) -> None:
    simulator = platform.simulate(alpha=openai("sk-alpha"))
    platform.configure({"ping_interval_seconds": 1})
    first, _ = two_workers(platform)
    platform.put_model("llama", {"alpha": "llama-3"})
    lasting, ending = (
        platform.create_session("llama"),
        platform.create_session("llama", stop={"max_duration_seconds": 5}),
    )
    platform.until_running(lasting, ending)
    simulator.fault("slow", operation="chat", params={"seconds": 1})
    now = platform.session(ending).running_at
    assert now is not None
    survivors = multiply(platform, lasting, 20, now)
    deadline = platform.session(ending).stop_at
    assert deadline is not None
    others = multiply(platform, ending, 20, now, prefix="ending")
    eventually(lambda: under_way(platform, "chat"), "pings are under way")
    first.kill_all()
    killed_at = max(s.last_ping_at for s in platform.sessions() if s.last_ping_at is not None)

    platform.until_over(*others)
    for session in map(platform.session, others):
        assert (session.stop_reason, session.stopped_at) == ("max_duration", deadline)
        assert session.ended_at is not None
        assert session.ended_at - deadline < timedelta(seconds=10)

    def alive_again() -> bool:
        seen = [platform.session(session_id) for session_id in survivors]
        return all(s.last_alive_at is not None and s.last_alive_at > killed_at for s in seen)

    eventually(alive_again, "every survivor is pinged again")
    assert {platform.session(session_id).state for session_id in survivors} == {"running"}


def test_a_pool_process_that_dies_is_started_again(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    worker = platform.start("worker")
    platform.open_account()
    eventually(lambda: len(worker.children()) == 5, "five kinds of work")
    victims = worker.children()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(worker.children() - victims) == 5, "five kinds of work again")
    platform.open_account("other")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert worker.tree() == set()
