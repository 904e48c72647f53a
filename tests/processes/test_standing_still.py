"""Processes stopped (SIGSTOP) for longer than their leases continue: no session ends, nothing is paid twice."""

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform, Running, morpheus, openai
from tests.waiting import eventually

#: Seconds for which processes stand still: every lease is shorter (pings 9 s, closes 8 s, the scheduler's 5 s).
FROZEN = 14.0
#: Seconds after which a session ends, while processes stand still.
SHORT = 8
#: One failed ping is enough, so that a ping that the stop has spoilt would show.
STRICT = {"ping_timeout_seconds": 3, "dead_after_failures": 1, "dead_after_seconds": 0}


@pytest.fixture
def platform(postgres_url: str, valkey_url: str, platform_on: PlatformOn) -> Platform:
    """Start two workers and a scheduler; pings take a second, so that some are always under way."""
    platform = platform_on(postgres_url, valkey_url)
    simulator = platform.simulate(alpha=openai("sk-alpha"), morph=morpheus("sk-1", "sk-2"))
    platform.configure(STRICT, plans={"contract": {"billing_block_seconds": 1, "min_funded_seconds": 1}})
    for name in ("worker", "other"):
        platform.start("worker", name=name)
    platform.start("scheduler")
    platform.open_account(plan="contract")
    platform.put_model("llama", {"alpha": "llama-3"})
    platform.put_model("moral", {"morph": "moral-1"})
    simulator.fault("slow", operation="chat", params={"seconds": 1})
    return platform


@contextmanager
def standing_still(processes: Collection[Running]) -> Iterator[None]:
    """Stop each process and its children, for `FROZEN` seconds at least; then continue them."""
    pids = sorted(pid for running in processes for pid in running.tree())
    until = time.monotonic() + FROZEN
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        time.sleep(max(0.0, until - time.monotonic()))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert pids == sorted(pid for running in processes for pid in running.tree()), "a process ended"


def stopped_in_time(platform: Platform, session_id: str) -> bool:
    """Return whether it is over, and ended at its own instant, however late that was decided."""
    session = platform.session(session_id)
    if session.state != "stopped":
        return False
    assert session.stop_reason == "max_duration"
    assert session.running_at is not None
    assert session.stopped_at == session.running_at + timedelta(seconds=SHORT)
    return True


def all_go_on(platform: Platform, healthy: Collection[str]) -> None:
    """Check that every process reports and receives, healthy sessions are pinged, a job is answered, and the books
    agree."""
    with platform.database.reading() as tx:
        began = tx.now()

    def reported() -> bool:
        with platform.database.reading() as tx:
            rows = tx.workers.listed()
        assert {one.restarts for one in rows} == {0}
        sent = [one.last_sent_at for one in rows if one.kind == "scheduler"]
        heard = [one.last_wake_up_at for one in rows if one.kind != "scheduler"]
        return all(at is not None and at > began for at in [*sent, *heard])

    eventually(reported, "every process works")
    eventually(
        lambda: all((platform.session(one).last_alive_at or began) > began for one in healthy), "pings"
    )
    assert {platform.session(one).state for one in healthy} == {"running"}
    assert [len(platform.placements(one)) for one in healthy] == [1] * len(healthy)
    outcome = platform.job("session.close", session_id="unknown")
    assert outcome["error"]["code"] == "unknown_session"
    audit = platform.start("audit", "--full")
    assert audit.wait() == 0, audit.text()


def test_processes_that_stood_still_for_longer_than_their_leases_go_on(platform: Platform) -> None:
    healthy = [
        platform.create_session("llama"),
        platform.create_session("llama"),
        platform.create_session("moral"),
    ]
    platform.until_running(*healthy)
    worker, other, scheduler = (platform.processes[name] for name in ("worker", "other", "scheduler"))

    ends = platform.create_session("moral", stop={"max_duration_seconds": SHORT})
    platform.until_running(ends)
    with standing_still([worker, scheduler]):
        eventually(lambda: stopped_in_time(platform, ends), "the other worker ends it")
    all_go_on(platform, healthy)

    ends = platform.create_session("moral", stop={"max_duration_seconds": SHORT})
    platform.until_running(ends)
    with standing_still([worker, other, scheduler]):
        pass
    eventually(lambda: stopped_in_time(platform, ends), "it ends once they continue")
    all_go_on(platform, healthy)
