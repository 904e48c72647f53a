"""Machines with clocks that differ by hours share the jobs: real workers on a real PostgreSQL."""

from contextlib import ExitStack
from typing import Any

import psycopg
from redis import Redis

from tests.clocks import SKEWED, clock
from tests.processes.platform import Platform
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
            its_clock = stack.enter_context(clock())
            its_clock.is_off(seconds)
            arguments, env = ("worker", "--pool", "control"), its_clock.of_ours()
            platform.start(*arguments, name=f"worker{seconds:+d}", module=SKEWED, **env)
        sent = [
            platform.jobs.send("account.put", account_id=f"a{n}", plan="payg", currency="USD")
            for n in range(JOBS)
        ]
        eventually(lambda: _held(redis) == JOBS, "every job waits for its next try")
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert all(platform.jobs.outcome(task_id)["ok"] for task_id in sent)


def _held(redis: Redis) -> int:
    """Return how many messages of a second or later try a worker has taken."""
    held: Any = redis.hvals("unacked")
    return sum(b'"retries": 0' not in message for message in held)
