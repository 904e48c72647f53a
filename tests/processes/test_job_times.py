"""When a job may begin, and until when: by the store's clock, and every job has an outcome."""

import time
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import Retry

from orchestrator.rules.installation.delivery_times import LONGEST_HELD, NOT_AFTER, NOT_BEFORE, RETRY_AFTER
from orchestrator.tasks import jobs
from orchestrator.tasks.jobs import FAILURES, TRIES_OF_A_DEFECT
from tests.processes.platform import Platform
from tests.processes.raw_messages import with_header
from tests.waiting import eventually
from tests.world import START, World

NAME = "orchestrator.account.put"
ACCOUNT = {"account_id": "new", "plan": "payg", "currency": "USD"}


def carried_out(world: World, name: str = NAME, kwargs: Any = ACCOUNT, **headers: Any) -> dict[str, Any]:
    """Carry out a job with these headers. Raises Retry."""
    app = Celery("jobs", broker="memory://", set_as_current=False)
    jobs.register(app, lambda: world.services)
    task: Any = app.tasks[name]
    task.push_request(id="job-1", retries=0, called_directly=False, args=[], kwargs=kwargs, headers=headers)
    try:
        outcome: dict[str, Any] = task.run(**kwargs)
    finally:
        task.pop_request()
    return outcome


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(("ahead", "held"), [(5, 5), (3600, LONGEST_HELD)])
def test_a_job_that_is_not_due_is_sent_again_and_keeps_its_instants(
    world: World, ahead: float, held: float
) -> None:
    sent: dict[str, Any] = {NOT_BEFORE: at(ahead), NOT_AFTER: at(7200), FAILURES: 3}
    with pytest.raises(Retry) as again:
        carried_out(world, **sent)
    raised: Any = again.value
    assert raised.sig.options["headers"] == sent | {RETRY_AFTER: pytest.approx(held, abs=1)}


@pytest.mark.parametrize(
    "headers", [{NOT_BEFORE: at(-1)}, {NOT_AFTER: at(60)}, {NOT_BEFORE: at(0), NOT_AFTER: at(60)}]
)
def test_a_job_that_is_due_and_has_not_expired_is_carried_out(world: World, headers: dict[str, str]) -> None:
    assert carried_out(world, **headers)["ok"]


def test_a_job_that_has_expired_has_an_outcome_and_changes_nothing(world: World) -> None:
    outcome = carried_out(world, **{NOT_AFTER: at(-1)})
    assert outcome["error"]["code"] == "invalid_request"
    assert carried_out(world) == outcome, "and it stays"
    with world.services.database.reading() as tx:
        assert tx.accounts.get("new") is None


def test_a_job_that_asks_to_wait_for_more_than_a_day_has_an_outcome(world: World) -> None:
    outcome = carried_out(world, **{NOT_BEFORE: at(86_401)})
    assert outcome["error"]["code"] == "invalid_request"


def test_a_job_that_is_done_keeps_its_outcome_after_it_has_expired(world: World) -> None:
    done = carried_out(world, **{NOT_AFTER: at(60)})
    world.pass_time(timedelta(minutes=2))
    assert carried_out(world, **{NOT_AFTER: at(60)}) == done


@pytest.mark.parametrize(
    ("failures", "counts"),
    [(-(10**9), 0), (-1, 0), (10**9, TRIES_OF_A_DEFECT), ("x", 0), (1.5, 0), (None, 0), (True, 1)],
)
def test_failures_that_a_client_claims_are_bounded(failures: Any, counts: int) -> None:
    task: Any = SimpleNamespace(request=SimpleNamespace(headers={FAILURES: failures}))
    assert jobs._failures(task) == counts


def test_a_worker_holds_one_copy_of_a_job_that_waits_and_answers_one_that_has_expired(
    platform: Platform, valkey_url: str
) -> None:
    (platform.directory / "orchestrator.toml").touch()
    platform.start("worker", TZ="America/New_York")
    platform.job("session.close", session_id="unknown")
    with redis.Redis.from_url(valkey_url) as client:

        def answer(task_id: str) -> Any:
            return client.get(f"celery-task-meta-{task_id}")

        for name, value in (("expires", "2020-01-01T00:00:00"), ("eta", "0001-01-01T00:00:00")):
            client.lpush("orchestrator.jobs", with_header(id=f"past-{name}", **{name: value}))
            assert b"SUCCESS" in eventually(lambda: answer(f"past-{name}"), "an answer")  # noqa: B023
        begin = datetime.fromtimestamp(time.time() + 8).astimezone().isoformat()
        client.lpush("orchestrator.jobs", with_header(id="later", eta=begin))
        time.sleep(2)
        assert answer("later") is None
        assert client.hlen("unacked") == 1
        assert b"unknown_session" in eventually(lambda: answer("later"), "an answer in time")
