"""Metrics and probes are served on the configured port, or on the next free one, and say what is not well."""

import json
import logging
import multiprocessing
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from orchestrator.observability import serving
from orchestrator.processes.health import STUCK_AFTER, liveness, readiness
from orchestrator.store.database import Database
from orchestrator.tasks.liveness import BEATS
from tests.waiting import eventually, free_port

HERE = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that another process listens on; the next one is most likely free."""
    with socket.create_server((HERE, 0)) as other:
        yield other.getsockname()[1]


def answer(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body."""
    try:
        with urllib.request.urlopen(f"http://{HERE}:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def serve(port: int, **probes: serving.Probe) -> int:
    return serving.serve(HERE, port, CollectorRegistry(), {f"/{name}": one for name, one in probes.items()})


def test_the_second_process_of_a_host_takes_the_next_port_and_says_so(
    taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        port = serve(taken)
    assert taken < port < taken + serving.PORTS
    assert answer(port, "/metrics")[0] == 200
    assert (
        f"port {taken} is in use by another process, so this one serves its metrics on port {port}"
        in caplog.text
    )


def test_a_free_port_is_taken_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    wanted = free_port()
    assert serve(wanted) == wanted
    assert caplog.text == ""


def test_an_address_of_another_machine_is_refused_at_once() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        serving.serve("192.0.2.1", free_port(), CollectorRegistry(), {})


def test_a_probe_answers_200_or_503_with_the_reason() -> None:
    port = serve(free_port(), healthz=lambda: None, readyz=lambda: "the database is away")
    assert answer(port, "/healthz") == (200, '{"status": "ok"}')
    status, body = answer(port, "/readyz")
    assert (status, json.loads(body)["detail"]) == (503, "the database is away")


def test_connections_that_send_nothing_hold_few_threads_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "MOST_THREADS", 2)
    monkeypatch.setattr(serving, "CLIENT_WITHIN", 0.5)
    before = set(threading.enumerate())
    port = serve(free_port(), healthz=lambda: None)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection((HERE, port)))
        eventually(lambda: len(answering(before)) == 2, "both threads are in use")
        assert answer(port, "/healthz")[0] == 200, "it waited for its turn"
        assert len(answering(before)) <= 2
    assert caplog.text == ""


def answering(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that answer requests."""
    return [one for one in threading.enumerate() if one not in before and one.name != "metrics"]


def test_a_probe_that_fails_is_logged_and_frees_its_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "MOST_THREADS", 1)

    def fails() -> str | None:
        raise ValueError("a secret")

    port = serve(free_port(), healthz=lambda: None, readyz=fails)
    for _ in range(3):
        assert answer(port, "/readyz")[0] == 500
        assert answer(port, "/healthz")[0] == 200


def test_a_process_whose_heartbeat_stands_still_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("orchestrator.tasks.liveness.time.monotonic", lambda: now)
    BEATS.expect(["ping", "close"])
    probe = liveness(["close", "ping"])
    now += STUCK_AFTER
    assert probe() is None
    BEATS.note("close")
    now += 1
    assert probe() == "stuck for more than 120 s: ping"


def test_a_forked_process_beats_for_its_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    BEATS.expect(["ping"])
    real = time.monotonic
    monkeypatch.setattr("orchestrator.tasks.liveness.time.monotonic", lambda: real() + 500)
    assert BEATS.seconds_since("ping") >= 500
    child = multiprocessing.get_context("fork").Process(target=BEATS.note, args=("ping",))
    child.start()
    child.join()
    assert BEATS.seconds_since("ping") < 100


def test_a_process_is_ready_while_its_database_answers(sqlite_url: str) -> None:
    BEATS.expect(["ping"])
    assert readiness(["ping"], Database(sqlite_url))() is None
    assert "does not exist" in str(readiness(["ping"], Database("sqlite:////nonexistent/place.db"))())
