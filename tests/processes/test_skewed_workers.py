"""Machines with clocks that differ by hours share the jobs: real workers on a real PostgreSQL."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from redis import Redis

from tests.clocks import SKEWED, clock
from tests.processes.platform import Platform
from tests.processes.raw_messages import with_header
from tests.waiting import eventually

JOBS = 8


def test_jobs_that_are_tried_again_do_not_wait_for_the_clock_of_another_machine(
    platform: Platform, valkey_url: str
) -> None:
    database = platform.env["ORCHESTRATOR_DATABASE_URL"].replace("+psycopg", "")
    with (
        psycopg.connect(database, autocommit=True) as admin,
        Redis.from_url(valkey_url) as redis,
        ExitStack() as stack,
    ):
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        for seconds in (7200, -7200):
            start(platform, stack, seconds)
        sent = [
            platform.jobs.send("account.put", account_id=f"a{n}", plan="payg", currency="USD")
            for n in range(JOBS)
        ]
        eventually(lambda: _held(redis) == JOBS, "every job waits for its next try")
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert all(platform.jobs.outcome(task_id)["ok"] for task_id in sent)


@pytest.mark.parametrize("seconds", [7200, -7200, 90_000, -90_000])
def test_when_a_job_may_begin_and_until_when_is_the_same_on_every_machine(
    platform: Platform, valkey_url: str, seconds: int
) -> None:
    with Redis.from_url(valkey_url) as redis, ExitStack() as stack:
        start(platform, stack, seconds)
        begin = datetime.now(UTC) + timedelta(seconds=15)  # a cold worker takes some
        for task_id, headers in {
            "open": {"expires": _from_now(600)},
            "over": {"expires": _from_now(-1)},
            "later": {"eta": begin.isoformat()},
        }.items():
            redis.lpush("orchestrator.jobs", with_header(id=task_id, **headers))
        codes = {name: platform.jobs.outcome(name)["error"]["code"] for name in ("open", "over")}
        assert codes == {"open": "unknown_session", "over": "invalid_request"}
        assert platform.jobs.outcome("later")["error"]["code"] == "unknown_session"
        assert datetime.now(UTC) >= begin


def start(platform: Platform, stack: ExitStack, seconds: int) -> None:
    """Start a worker on a machine with a clock that is off by so much."""
    its_clock = stack.enter_context(clock())
    its_clock.is_off(seconds)
    arguments, env = ("worker", "--pool", "control"), its_clock.of_ours()
    platform.start(*arguments, name=f"worker{seconds:+d}", module=SKEWED, **env)


def _from_now(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _held(redis: Redis) -> int:
    """Return how many messages of a second or later try a worker has taken."""
    held: Any = redis.hvals("unacked")
    return sum(b'"retries": 0' not in message for message in held)
