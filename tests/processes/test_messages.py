"""No message ends a worker: each is carried out or parked, and the next job is answered."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.tasks.parked_copies import LARGEST_KEPT, STREAM
from tests.processes.platform import Platform
from tests.processes.raw_messages import JOBS, ODD, QUEUES, WRONG, mutants
from tests.waiting import WAIT_LIMIT, eventually

#: Messages generated for each queue; `make fuzz-messages` takes 20,000.
SHARE = int(os.environ.get("FUZZED_MESSAGES", "300"))
#: Seconds that a job may take after a message that could end its worker, on a busy machine.
SOON = 10.0
#: Messages that a busy machine takes in a second.
SLOWEST = 50.0
PREFIX = "orchestrator.session."
#: Megabytes that a worker takes at most, whatever messages it was sent.
MOST_MEMORY = 400
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_NO_DAMAGE = ("Traceback", "Unrecoverable error", "WorkerLostError")


@pytest.fixture
def worker(platform: Platform, valkey_url: str) -> Iterator["Broker"]:
    """Start a worker of every kind, with nothing configured, and its broker."""
    (platform.directory / "orchestrator.toml").touch()
    platform.start("worker")
    with redis.Redis.from_url(valkey_url) as client:
        platform.job("session.close", session_id="unknown")
        yield Broker(platform, client)


class Broker:
    """Another client of the same broker."""

    def __init__(self, platform: Platform, client: "redis.Redis") -> None:
        self.platform = platform
        self.redis = client
        self.pids = platform.processes["worker"].tree()

    def put(self, *entries: bytes, queue: str = JOBS) -> None:
        """Put raw entries into a queue, in this order."""
        self.redis.lpush(queue, *entries)

    def chained(self) -> str:
        """Send a job with a follow-up, as Celery does; return its task id."""
        app = Celery(broker=self.platform.env["ORCHESTRATOR_BROKER_URL"], set_as_current=False)
        close = app.signature(f"{PREFIX}close", kwargs={"session_id": "unknown"}, queue=JOBS)
        chain: Any = close | app.signature(f"{PREFIX}delete", queue=JOBS)
        sent = chain.apply_async()
        app.close()
        return str(sent.parent.id)

    def answers(self, what: str = "") -> None:
        """Check that a job is answered soon, by the same processes as before."""
        began = time.monotonic()
        outcome = self.platform.job("session.close", session_id="unknown")
        assert outcome["error"]["code"] == "unknown_session"
        assert time.monotonic() - began < SOON, what
        assert self.platform.processes["worker"].tree() == self.pids, f"{what}: a process ended"

    def rests(self, messages: int = 0) -> None:
        """Wait until every queue is empty, after this many messages, and every message is acknowledged."""
        wait_limit = WAIT_LIMIT + messages / SLOWEST
        eventually(lambda: not sum(self.redis.llen(queue) for queue in QUEUES), "empty queues", wait_limit)
        eventually(lambda: not self.redis.hlen("unacked"), "acknowledged messages")

    def peak(self) -> int:
        """Return the most memory that one of its processes ever took, in MB."""
        found = [_PEAK.findall(Path(f"/proc/{pid}/status").read_text()) for pid in self.pids]
        return max(int(kilobytes) // 1024 for [kilobytes] in found)

    def copies(self) -> int:
        """Return the number of parked messages that are small enough to be kept."""
        return int(self.redis.xlen(STREAM))

    def parked(self) -> int:
        """Return the number of parked messages, as an operator can read it."""
        with self.platform.database.reading() as tx:
            return sum(tx.parked.counts().values())


def test_every_shape_of_a_wrong_message_is_parked_and_the_worker_goes_on(worker: Broker) -> None:
    for name, entry in WRONG.items():
        copies = worker.copies()
        worker.put(entry)
        worker.answers(name)
        assert worker.copies() == copies + (len(entry) <= LARGEST_KEPT), f"{name} is parked"
    eventually(lambda: worker.parked() >= len(WRONG), "every one is parked")
    worker.rests()
    assert worker.parked() == len(WRONG)
    with worker.platform.database.reading() as tx:
        [alarm] = tx.installation_alarms.listed()
    assert (alarm.kind, alarm.about) == (InstallationAlarmKind.MESSAGES_PARKED.value, JOBS)
    assert worker.peak() < MOST_MEMORY


def test_every_odd_message_is_carried_out_or_dropped(worker: Broker) -> None:
    for name, entry in ODD.items():
        worker.put(entry)
        worker.answers(name)
    outcome = worker.platform.jobs.outcome(worker.chained())
    assert outcome["error"]["code"] == "invalid_request"
    assert "chain is not supported: wait for the job's outcome" in outcome["error"]["message"]
    worker.rests()
    assert worker.parked() == 0
    assert worker.peak() < MOST_MEMORY


@pytest.mark.timeout(3600)
def test_no_generated_message_ends_a_worker(worker: Broker) -> None:
    seed = int(os.environ.get("SEED") or time.time_ns() // 10**9 % 10**6)
    for n, queue in enumerate(QUEUES):
        entries = list(mutants(seed + n, SHARE, queue))
        for begin in range(0, len(entries), 500):
            worker.put(*entries[begin : begin + 500], queue=queue)
    worker.rests(SHARE * len(QUEUES))
    worker.answers(f"SEED={seed}")
    said = worker.platform.processes["worker"].text()
    found = [said[at - 500 : at + 2000] for word in _NO_DAMAGE if (at := said.find(word)) >= 0]
    assert not found, f"SEED={seed}\n" + "\n".join(found)
