"""Celery tasks as anyone writes them. `BENCH_BROKER`, `BENCH_UPSTREAM` and `BENCH_DATABASE` say where everything is.

python -m celery -A tests.bench.peers.plain_celery worker -P prefork -c 2
"""

import os
from functools import cache
from typing import Any

import httpx
import psycopg
from celery import Celery

from tests.bench.peers.bare_client import BODY, HEADERS

_OPTIONS = {
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "worker_prefetch_multiplier": 4,
    "broker_connection_retry_on_startup": True,
    "task_default_queue": "plain",
}

_BROKER = os.environ.get("BENCH_BROKER")
app = Celery("plain", broker=_BROKER, backend=_BROKER, set_as_current=False)
app.conf.update(_OPTIONS)


def sender(broker_url: str) -> Celery:
    """Return an application that sends these tasks and waits for no result."""
    sending = Celery(broker=broker_url, set_as_current=False)
    sending.conf.update(_OPTIONS)
    return sending


@app.task(name="plain.nothing")
def nothing(**_arguments: Any) -> dict[str, Any]:
    """Do nothing, and store that result."""
    return {"ok": True}


@app.task(name="plain.ping", ignore_result=True)
def ping(session_id: str) -> None:
    """Ping one session, and update its row."""
    answer = _client().post(f"{os.environ['BENCH_UPSTREAM']}/chat/completions", json=BODY, headers=HEADERS)
    assert answer.json()["choices"]
    _database().execute(
        "UPDATE sessions SET last_ping_at = clock_timestamp(), last_verdict = 'ALIVE', ping_at = clock_timestamp()"
        " + interval '1 hour', next_step_at = clock_timestamp() + interval '1 hour' WHERE id = %s",
        (session_id,),
    )


@cache
def _client() -> httpx.Client:
    return httpx.Client(timeout=30, trust_env=False)


@cache
def _database() -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(os.environ["BENCH_DATABASE"], autocommit=True)
