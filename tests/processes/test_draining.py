"""SIGTERM: start nothing more, finish the calls under way, return what was prefetched. A second one: exit at once."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text

from orchestrator.processes.tree import GRACE
from orchestrator.tasks.draining import BOUND
from orchestrator.tasks.pools import POOLS
from tests.due import token_of
from tests.processes.platform import Platform, Running, morpheus, openai
from tests.store.stage import wait_until_blocked
from tests.waiting import eventually

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SCRIPT = """
import sys, threading, time
from orchestrator.tasks.draining import Drain
drain = Drain(bound=float(sys.argv[1]))
begun = threading.Event()
drain.listen(at_once=lambda: print("at once", flush=True), then=lambda: (print("then", flush=True), begun.set()))
print("listens", flush=True)
drain.wait()
begun.wait()
print("drains", flush=True)
time.sleep(float(sys.argv[2]))
print("ends by itself", flush=True)
"""


def listening(directory: Path, *, bound: float, needs: float) -> Running:
    running = Running.command("drain", [sys.executable, "-c", SCRIPT, str(bound), str(needs)], {}, directory)
    eventually(lambda: "listens" in running.text(), "it listens")
    return running


def test_the_first_signal_drains(tmp_path: Path) -> None:
    running = listening(tmp_path, bound=60, needs=0)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 0
    assert sorted(running.text().splitlines()) == ["at once", "drains", "ends by itself", "listens", "then"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_at_once(tmp_path: Path, second: signal.Signals) -> None:
    running = listening(tmp_path, bound=600, needs=600)
    running.send_signal(signal.SIGINT)
    eventually(lambda: "drains" in running.text(), "it drains")
    assert running.process.poll() is None, "it has its time"
    running.send_signal(second)
    assert running.wait() == 0
    assert "ends by itself" not in running.text()


def test_what_does_not_end_within_the_bound_is_left_behind(tmp_path: Path) -> None:
    running = listening(tmp_path, bound=0.5, needs=600)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 0
    assert "ends by itself" not in running.text()


@pytest.mark.parametrize("unit", ["worker", "scheduler"])
def test_systemd_waits_longer_than_a_drain_takes(unit: str) -> None:
    reported = (UNITS / f"orchestrator-{unit}.service").read_text()
    settings = dict(line.split("=", 1) for line in reported.splitlines() if "=" in line)
    assert BOUND < GRACE < int(settings["TimeoutStopSec"])
    assert (settings["KillMode"], settings["Restart"]) == ("mixed", "always")
    assert settings["ExecStart"].endswith(f"/orchestrator {unit}")


def ready(platform: Platform, pool: str, name: str | None = None) -> Running:
    running = platform.start("worker", "--pool", pool, name=name or pool)
    eventually(lambda: " ready." in running.text(), f"{running.name} is ready")
    return running


def waiting(platform: Platform) -> tuple[int, int]:
    """Return jobs in their queue, and unacknowledged messages."""
    with Redis.from_url(platform.env["ORCHESTRATOR_BROKER_URL"]) as redis:
        return int(redis.llen("orchestrator.jobs")), int(redis.hlen("unacked"))


@contextmanager
def locked(platform: Platform, table: str) -> Iterator[None]:
    """Lock this table: all other readers and writers wait meanwhile."""
    with platform.database.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


def test_jobs_that_have_begun_are_finished_and_not_done_again(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    worker = ready(platform, "control")
    open_accounts(platform, 8)
    with locked(platform, "accounts"):
        begun = [credit(platform, n) for n in range(8)]  # a thread for each
        wait_until_blocked(platform.database, 8)
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping: no new work" in worker.text(), "it drains")
    assert worker.wait() == 0
    assert [platform.jobs.outcome(task_id)["ok"] for task_id in begun] == [True] * 8
    assert waiting(platform) == (0, 0)


def test_jobs_behind_busy_threads_are_left_to_another_worker_at_once(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    worker = ready(platform, "control")
    pool = POOLS["control"]
    jobs = pool.threads + 8
    open_accounts(platform, jobs)
    with locked(platform, "accounts"):
        begun = [credit(platform, n) for n in range(pool.threads)]  # a thread for each
        wait_until_blocked(platform.database, 2 * pool.connections)
        kept = [credit(platform, n) for n in range(pool.threads, jobs)]
        eventually(lambda: waiting(platform) == (8, pool.threads), "each thread has a job, and none is free")
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: "waiting for" in worker.text(), "it consumes nothing more")
    assert worker.wait() == 0
    assert waiting(platform) == (8, 0), "none waits for the visibility timeout"
    ready(platform, "control", "another")
    assert [platform.jobs.outcome(task_id)["ok"] for task_id in [*begun, *kept]] == [True] * jobs
    eventually(lambda: waiting(platform) == (0, 0), "each is acknowledged, which follows its outcome")


def open_accounts(platform: Platform, count: int) -> None:
    """Open an account for each job: of those that wait for one account, all but one come again later."""
    for n in range(count):
        platform.open_account(f"a{n}")


def credit(platform: Platform, n: int) -> str:
    job = {"account_id": f"a{n}", "amount": "1", "currency": "USD", "key": f"n{n}"}
    return platform.jobs.send("account.credit", **job)


def test_what_is_on_the_wire_ends_and_a_second_signal_does_not_wait_for_it(platform: Platform) -> None:
    simulator = platform.simulate(morph=morpheus("sk-m1", "sk-m2"))
    platform.configure({"open_timeout_seconds": 120, "resolve_after_seconds": 600})
    ready(platform, "control")
    platform.start("scheduler")
    platform.open_account(plan="contract")
    platform.put_model("moral", {"morph": "moral-1"})
    simulator.fault("slow", operation="open", times=1, params={"seconds": 3})
    opens = ready(platform, "open")
    session_id = platform.create_session("moral")
    eventually(lambda: simulator.calls(operation="open"), "the open is on the wire")
    opens.send_signal(signal.SIGTERM)
    assert opens.wait() == 0
    [placement] = platform.placements(session_id)
    assert (placement.state, token_of(placement)) == ("open", None)

    simulator.fault("slow", operation="open", times=1, params={"seconds": 100})
    again = ready(platform, "open", "again")
    platform.create_session("moral")
    eventually(lambda: len(simulator.calls(operation="open")) == 2, "the other open is on the wire")
    began = time.monotonic()
    again.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping: no new work" in again.text(), "it drains")
    again.send_signal(signal.SIGTERM)
    assert again.wait() == 0
    assert time.monotonic() - began < 15, "the call takes a hundred seconds, a drain twenty"
    scheduler = platform.processes["scheduler"]
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait() == 0
