"""The same through a real worker: its queues, results, retries and logs contain no keys and passwords."""

import binascii
import json
import re
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from orchestrator.store.tables import metadata
from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform, morpheus, openai
from tests.security import planted
from tests.waiting import eventually

KEYS, PASSWORDS = [planted.key(n) for n in range(1, 5)], [planted.key(n) for n in (8, 9)]
MODELS = {"llama": ("alpha", "llama-3"), "moral": ("morph", "moral-1")}
REFS = {"alpha": ("env:ALPHA_1", "env:ALPHA_2"), "morph": ("env:MORPH_1", "env:MORPH_2")}
#: Seconds in which pings, opens and closes meet a fault.
FAULTY = 2.0
#: Celery sends a message in base64 within JSON.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


class Wire:
    """Everything that is sent to Redis, word by word, as its MONITOR shows it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
        self._socket.sendall(f"AUTH {unquote(parts.password or '')}\r\nMONITOR\r\n".encode())
        self._said: list[bytes] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        eventually(lambda: b"".join(self._said).count(b"+OK") == 2, "the first word")

    def close(self) -> str:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
        return b"".join(self._said).decode(errors="replace")

    def _listen(self) -> None:
        while said := self._socket.recv(1 << 20):
            self._said.append(said)


@pytest.mark.timeout(400)
def test_no_queue_result_retry_or_log_of_a_worker_brings_a_secret_to_light(
    platform_on: PlatformOn, postgres_url: str, valkey_url: str
) -> None:
    broker_url = _with_a_password(valkey_url, PASSWORDS[0])
    wire = Wire(broker_url)
    platform = platform_on(postgres_url, broker_url)
    database_url = make_url(postgres_url).set(password=PASSWORDS[1])  # the server asks for no password
    platform.env["ORCHESTRATOR_DATABASE_URL"] = database_url.render_as_string(hide_password=False)
    _set_up(platform)
    said = [json.dumps(outcome) for outcome in _lived_through(platform)]
    said += [json.dumps(outcome) for outcome in _retried(platform, postgres_url)]
    for name in ("worker", "scheduler"):
        platform.processes[name].kill_all()
        said.append(platform.processes[name].text())
    assert "failed, try 1 of" in said[-2], "jobs were tried again"
    heard = wire.close()
    messages = "\n".join(_decoded(heard))
    assert '{"account_id": "acme", "model_id": "moral"}' in messages, "messages can be read"
    everything = "\n".join([*said, heard, messages, _kept(broker_url), _rows(platform)])
    assert "may not do this" in everything, "what platforms say is kept"
    assert planted.found_in(everything, [*KEYS, *PASSWORDS]) == []


def _set_up(platform: Platform) -> None:
    platform.simulate(alpha=openai(KEYS[0], KEYS[1]), morph=morpheus(KEYS[2], KEYS[3]))
    platform.configure(morph={"close_retry_seconds": 0.05, "opens_settle_within_seconds": 0})
    platform.start("worker")
    platform.start("scheduler")
    platform.open_account(plan="contract", amount="100000")
    for model_id, (provider, name) in MODELS.items():
        platform.put_model(model_id, {provider: name})


def _lived_through(platform: Platform) -> Iterator[Mapping[str, Any]]:
    """Open, ping and close sessions at each fault."""
    for name, params in planted.FAULTS:
        running = [platform.job("session.create", account_id="acme", model_id=model) for model in MODELS]
        time.sleep(FAULTY / 2)
        for provider, keys in (("alpha", KEYS[:2]), ("morph", KEYS[2:])):
            for key in keys:
                texts = planted.said(params, key, set(KEYS) - {key})
                platform.simulator.fault(name, upstream=provider, key=key, params=texts)
        fresh = [platform.job("session.create", account_id="acme", model_id=model) for model in MODELS]
        time.sleep(FAULTY)
        for created in (*running, *fresh):
            yield created
            if created["ok"]:
                yield platform.job("session.close", session_id=created["result"]["id"])
        time.sleep(FAULTY / 2)
        platform.simulator.clear_faults()
        for provider, refs in REFS.items():
            for ref in refs:
                platform.database.transact(lambda tx, p=provider, r=ref: tx.credentials.unpause(p, r))  # type: ignore[misc]


def _retried(platform: Platform, postgres_url: str) -> Iterator[Mapping[str, Any]]:
    """Send jobs with rows that are refused, and then jobs while every connection is cut again and again."""
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("ALTER TABLE inbox ADD CONSTRAINT nothing_comes_in CHECK (received_at IS NULL) NOT VALID")
        )
        waiting = [_send(platform, model) for model in MODELS]
        time.sleep(FAULTY)
        connection.execute(text("ALTER TABLE inbox DROP CONSTRAINT nothing_comes_in"))
        waiting += [_send(platform, model) for model in MODELS]
        until = time.monotonic() + FAULTY
        while time.monotonic() < until:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            time.sleep(0.01)
    engine.dispose()
    platform.database.dispose()
    for task_id in waiting:
        yield platform.jobs.outcome(task_id)


def _send(platform: Platform, model: str) -> str:
    return platform.jobs.send("session.create", account_id="acme", model_id=model)


def _with_a_password(url: str, password: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.config_set("requirepass", password)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f":{quote(password, safe='')}@{parts.netloc}"))


def _kept(url: str) -> str:
    """Return the contents of Redis at the end."""
    readers = {"stream": "xrange", "hash": "hgetall", "list": "lrange", "string": "get", "set": "smembers"}
    with redis.Redis.from_url(url, decode_responses=True) as client:
        found = []
        for key in client.scan_iter():
            reader = readers.get(kind := str(client.type(key)))
            if reader is not None:
                found.append(str(getattr(client, reader)(key, *([0, -1] if kind == "list" else []))))
        return "\n".join(found)


def _decoded(said: str) -> Iterator[str]:
    for found in set(_BASE64.findall(said)):
        try:
            yield b64decode(found, validate=True).decode(errors="replace")
        except binascii.Error:
            continue


def _rows(platform: Platform) -> str:
    with platform.database.reading() as tx:
        return "\n".join(
            str(tuple(row)) for t in metadata.sorted_tables for row in tx.connection.execute(t.select())
        )
