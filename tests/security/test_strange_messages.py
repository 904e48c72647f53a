"""Messages of the broker that are no job of ours are refused, the worker continues, and their contents are not
shown."""

import base64
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from orchestrator.client import JOBS_QUEUE
from orchestrator.settings import Settings
from orchestrator.tasks.app import make_app

SECRET = "sk-planted-in-a-message"
WAIT_LIMIT = 30


@pytest.fixture
def app(sqlite_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Celery]:
    """Start a worker of ours that does jobs."""
    config = tmp_path / "orchestrator.toml"
    config.touch()
    settings = Settings(database_url=sqlite_url, broker_url=valkey_url, result_url=valkey_url, config=config)
    app, process = make_app(settings)
    level = logging.getLogger().level  # Celery's helper sets it, and does not restore it
    with start_worker(
        app, pool="solo", perform_ping_check=False, queues=[JOBS_QUEUE], shutdown_timeout=WAIT_LIMIT
    ):
        yield app
    logging.getLogger().setLevel(level)
    process.close()


def raw(url: str, body: bytes, **changes: Any) -> None:
    """Put a message into the queue as any client can."""
    headers = {"id": str(uuid.uuid4()), "task": "orchestrator.session.close", "argsrepr": SECRET}
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": JOBS_QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    with redis.Redis.from_url(url) as client:
        client.lpush(JOBS_QUEUE, json.dumps(message | changes))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Exception raised outside body"
)  # celery's own
def test_unknown_messages_are_refused_without_logging_them_and_the_next_job_is_done(
    app: Celery, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    unknown_task = app.send_task("some.other.task", kwargs={"key": SECRET}, queue=JOBS_QUEUE)
    raw(valkey_url, b"not JSON " + SECRET.encode())
    raw(valkey_url, json.dumps([[], SECRET, {}]).encode())
    raw(valkey_url, json.dumps({"key": SECRET}).encode(), headers={})
    raw(valkey_url, SECRET.encode(), **{"content-type": "application/x-python-serialize"})
    raw(valkey_url, json.dumps([[], {"session_id": "x" * 1_000_000}, {}]).encode())

    job = app.send_task("orchestrator.session.close", kwargs={"session_id": "nobody"}, queue=JOBS_QUEUE)
    assert job.get(timeout=WAIT_LIMIT)["error"]["code"] == "unknown_session"

    answer = unknown_task.get(timeout=WAIT_LIMIT)
    assert "no task has this name in this release" in answer["error"]["message"]
    _wait_for(lambda: "parked" in caplog.text)
    assert SECRET not in caplog.text
    with redis.Redis.from_url(valkey_url) as client:
        assert not client.llen(JOBS_QUEUE)
        _wait_for(lambda: not client.hlen("unacked"))  # nothing comes again


def _wait_for(look: Callable[[], bool]) -> None:
    """Wait for what follows an outcome: a job is acknowledged after its outcome is there."""
    deadline = time.monotonic() + WAIT_LIMIT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)
