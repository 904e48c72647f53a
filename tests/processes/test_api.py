"""`orchestrator api` as a process: it works while the broker is down, ends in order, and loses no job that it
answered."""

import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from orchestrator.api.process import build
from orchestrator.flows.operations.tokens import create_token
from orchestrator.processes import run as processes
from orchestrator.rules.installation.liveness import OPEN
from orchestrator.rules.states import Step
from orchestrator.rules.values import Scope
from orchestrator.settings import ConfigurationError, Fault, Settings
from orchestrator.tasks.wake_ups import queue_of
from tests.processes.conftest import PlatformOn
from tests.processes.platform import OURS, Platform, Running, morpheus
from tests.upstreams import KIND
from tests.waiting import eventually

#: Nothing listens there.
NO_BROKER = "redis://127.0.0.1:1/0"


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


#: Clients of the running test.
CLIENTS: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """Close every client after its test."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


class Served:
    """An API process, and a client."""

    def __init__(self, platform: Platform, running: Running, url: str) -> None:
        self.running, self.url = running, url
        text = create_token(platform.database, "test", {Scope.ADMIN}).text
        headers = {"Authorization": f"Bearer {text}"}
        self.client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=60, trust_env=False)
        CLIENTS.append(self.client)
        eventually(lambda: self.is_ready() or running.process.poll() is not None, "the API is ready")
        assert self.is_ready(), running.text()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def served(platform: Platform, name: str = "api", **env: str) -> Served:
    port = free_port()
    running = platform.start("api", name=name, ORCHESTRATOR_API_PORT=str(port), **env)
    return Served(platform, running, f"http://127.0.0.1:{port}")


@pytest.fixture
def platform(sqlite_url: str, platform_on: PlatformOn) -> Platform:
    """Return a platform with a database and without a broker."""
    platform = platform_on(sqlite_url, NO_BROKER)
    platform.simulate(morph=morpheus("sk-m1"))
    platform.configure()
    return platform


def test_it_works_without_a_broker_and_ends_in_order_with_a_stream_open(platform: Platform) -> None:
    api = served(platform)
    assert api.client.put("/accounts/acme", json={"plan": "payg", "currency": "USD"}).status_code == 200
    ended = threading.Event()

    def listen() -> None:
        with api.client.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as response:
            joined.set()
            for _ in response.iter_lines():
                pass
        ended.set()

    joined = threading.Event()
    threading.Thread(target=listen, daemon=True).start()
    assert joined.wait(30)
    began = time.monotonic()
    api.running.send_signal(signal.SIGTERM)
    assert api.running.wait() == 0
    assert time.monotonic() - began < 10
    assert ended.wait(10)
    assert "Traceback" not in api.running.text()


def test_jobs_that_came_over_the_api_are_counted_in_its_own_metrics(platform: Platform) -> None:
    port = free_port()
    api = served(platform, ORCHESTRATOR_METRICS_PORT=str(port))
    assert api.client.put("/accounts/acme", json={"plan": "payg", "currency": "USD"}).status_code == 200
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False).text
    assert 'orchestrator_jobs_total{name="orchestrator.account.put",outcome="ok"} 1.0' in text
    assert "orchestrator_database_up 1.0" in text


def test_an_api_that_finds_no_port_for_its_metrics_still_serves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_given: object, **_more: object) -> None:
        raise ConfigurationError([Fault(("ORCHESTRATOR_METRICS_PORT",), "cannot serve on 127.0.0.1:9464")])

    monkeypatch.setattr(processes, "checked", Settings)
    monkeypatch.setattr(processes, "serve_health", refuse)
    monkeypatch.setattr(processes, "_api", lambda _settings: 7)
    assert processes.run_api() == 7
    assert "ORCHESTRATOR_METRICS_PORT: cannot serve on 127.0.0.1:9464" in capfd.readouterr().err


def test_a_taken_port_is_said(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = platform.start("api", ORCHESTRATOR_API_PORT=str(port))
        assert running.wait() == 2
    said = running.text()
    assert f"ORCHESTRATOR_API_PORT: cannot serve on 127.0.0.1:{port}: Address already in use" in said
    assert "Traceback" not in said


def test_a_killed_process_loses_no_job_that_it_answered(platform: Platform) -> None:
    api = served(platform)
    assert api.client.put("/accounts/acme", json={"plan": "payg", "currency": "USD"}).status_code == 200
    answered: dict[str, Any] = {}

    def credit(n: int) -> None:
        for k in range(200):
            key = f"{n}-{k}"
            body = {"amount": "1", "currency": "USD", "key": key}
            try:
                done = api.client.post("/accounts/acme/credits", json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                return
            answered[key] = done.json()

    threads = [threading.Thread(target=credit, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(answered) > 40, "some answers")
    os.kill(api.running.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    again = served(platform, name="again")
    for key, outcome in answered.items():
        assert again.client.get(f"/jobs/{key}").json()["outcome"]["result"] == outcome
    with platform.database.reading() as tx:
        kept = {entry.key for entry in tx.ledger.of_account("acme", limit=10_000)}
    assert {f"credit:acme:{key}" for key in answered} <= kept
    repeated = again.client.post(
        "/accounts/acme/credits",
        json={"amount": "1", "currency": "USD", "key": "0-0"},
        headers={"Idempotency-Key": "0-0"},
    )
    assert (repeated.json(), repeated.headers["idempotency-replayed"]) == (answered["0-0"], "true")


def test_up_serves_it_and_a_session_runs_and_stops(tmp_path: Path, platform_on: PlatformOn) -> None:
    platform = platform_on(f"sqlite:///{tmp_path}/platform/orchestrator.db")
    platform.simulate(morph=morpheus("sk-m1"))
    platform.configure(morph={"close_retry_seconds": 0.05})
    port = free_port()
    platform.env["ORCHESTRATOR_API_PORT"] = str(port)
    running = platform.run([*OURS, "up"], name="up")
    eventually(lambda: "orchestrator is up" in running.text(), "the platform is up")
    assert f"HTTP API  http://127.0.0.1:{port}/v1" in running.text()
    assert running.text().count(f"http://127.0.0.1:{port}/sign-in#token=") == 1
    api = Served(platform, running, f"http://127.0.0.1:{port}")
    api.client.put("/accounts/acme", json={"plan": "payg", "currency": "USD"}).raise_for_status()
    credit = {"amount": "50", "currency": "USD", "key": "opening"}
    api.client.post("/accounts/acme/credits", json=credit).raise_for_status()
    model = {**KIND, "provider": "morph", "provider_model_id": "moral-1"}
    api.client.put("/models/moral", json=model).raise_for_status()
    created = api.client.post("/sessions", json={"account_id": "acme", "model_id": "moral"}).json()
    path = f"/sessions/{created['id']}"
    session = api.client.get(path, params={"wait_for": "running", "timeout": 60}).json()
    assert session["state"] == "running"
    assert api.client.post(f"{path}/close").json()["state"] == "stopping"
    stopped = api.client.get(path, params={"wait_for": "stopped", "timeout": 60}).json()
    assert stopped["state"] == "stopped"
    running.interrupt()
    assert running.wait() == 0


def test_up_prints_a_link_with_a_new_token_that_lasts_a_week(tmp_path: Path, platform_on: PlatformOn) -> None:
    platform = platform_on(f"sqlite:///{tmp_path}/platform/orchestrator.db")
    platform.simulate(morph=morpheus("sk-m1"))
    platform.configure()
    port = free_port()
    platform.env["ORCHESTRATOR_API_PORT"] = str(port)
    secret = _secret_of_a_start(platform, port)
    settings = Settings(database_url=str(platform.database.url), api_port=port)
    following = processes.console_link(settings).partition("#token=")[2]
    assert following != secret
    with platform.database.reading() as tx:
        [token] = tx.tokens.listed()
    assert token.expires_at is not None
    assert token.expires_at - token.created_at == processes.LINK_LASTS
    assert (token.name, token.scopes) == (f"up@{socket.gethostname()}", ("reveal", "admin"))
    assert following.split("_")[1] == token.id != secret.split("_")[1]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if secret.split("_", 2)[2].encode() in path.read_bytes()] == []


def _secret_of_a_start(platform: Platform, port: int) -> str:
    """Start `up` at a terminal; return the token of its link, with which the API answers."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*OURS, "up"], env=platform.env, cwd=platform.directory, stderr=theirs)
    os.close(theirs)
    try:
        said = b""
        while b"  config " not in said:
            said += os.read(ours, 4096)
        found = re.search(rf"http://127.0.0.1:{port}/sign-in#token=(orch_\w+_[\w-]+)", said.decode())
        assert found is not None, said
        headers = {"Authorization": f"Bearer {found[1]}"}
        eventually(lambda: _status(port, headers) == 200, "the API answers")
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # it has closed its end
            while os.read(ours, 4096):
                pass
        assert process.wait(120) == 0
        os.close(ours)
    return found[1]


def _status(port: int, headers: dict[str, str]) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/sessions", headers=headers, trust_env=False).status_code
    except httpx.TransportError:
        return 0


def test_up_runs_without_it_where_the_default_port_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chosen = Settings(api_port=port)
        with pytest.raises(ConfigurationError, match="cannot serve on"):
            processes._api_is_served(chosen)
        monkeypatch.setattr(Settings, "api_port_is_explicit", property(lambda _: False))
        assert processes._api_is_served(chosen) is False
    assert processes._api_is_served(chosen) is True
    assert processes._api_is_served(Settings(api_port="off")) is False


def test_a_commit_publishes_its_wake_ups(sqlite_url: str, valkey_url: str) -> None:
    built = build(Settings(database_url=sqlite_url, broker_url=valkey_url))
    try:
        built.services.database.on_commit(frozenset({Step.OPEN}))
        queue, redis = queue_of(OPEN), Redis.from_url(valkey_url)
        eventually(lambda: redis.llen(queue), "the wake-up")
        redis.close()
    finally:
        built.close()


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7", "10.0.0.7")],
)
def test_a_link_leads_to_where_a_browser_here_reaches_it(sqlite_url: str, host: str, shown: str) -> None:
    link = processes.console_link(Settings(database_url=sqlite_url, api_host=host, api_port=8800))
    assert link.startswith(f"http://{shown}:8800/sign-in#token=orch_")
