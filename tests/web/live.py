"""The embedded platform as `orchestrator up` starts it, over a simulator that misbehaves, with sessions in
every state."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import WAIT_LIMIT, eventually, free_port

_KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
_SECRETS = {
    "STEADY_KEY": "sk-steady",
    "SHAKY_KEY": "sk-shaky",
    "GATE_KEY_1": "sk-gate-1",
    "GATE_KEY_2": "sk-gate-2",
}
_WORLD = {
    "upstreams": {
        "steady": {
            "kind": "openai",
            "keys": ["sk-steady"],
            "models": ["llama-8b", {"id": "vision-7b", "type": "VLM"}, {"id": "whisper", "type": "ASR"}],
        },
        "shaky": {"kind": "openai", "keys": ["sk-shaky"], "models": ["qwen-7b"]},
        "gate": {"kind": "morpheus", "keys": ["sk-gate-1", "sk-gate-2"], "models": ["mistral-7b"]},
    }
}
_CONFIG = """
[policy]
ping_interval_seconds = 2
ping_timeout_seconds = 2
dead_after_failures = 3
dead_after_seconds = 4
close_retry_max_seconds = 20
warn_before_stop_seconds = [900, 300, 60]

[plans.payg]
max_sessions = 40
max_concurrent = 12
max_nodes = 4
max_duration_seconds = 86400
min_funded_seconds = 600
billing_block_seconds = 60
queue_timeout_seconds = 3600

[providers.steady]
driver = "openai"
base_url = "{url}/steady/v1"
credentials = ["env:STEADY_KEY"]

[providers.shaky]
driver = "openai"
base_url = "{url}/shaky/v1"
credentials = ["env:SHAKY_KEY"]

[providers.gate]
driver = "morpheus"
base_url = "{url}/gate/api/v1"
credentials = ["env:GATE_KEY_1", "env:GATE_KEY_2"]
"""
_KIND = {"learning_stage": "Instruction-tuned", "currency": "USD"}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "llama-3.1-8b": {
        **_KIND,
        "provider": "steady",
        "provider_model_id": "llama-8b",
        "type": "LLM",
        "size": "8B",
    },
    "vision-7b": {
        **_KIND,
        "provider": "steady",
        "provider_model_id": "vision-7b",
        "type": "VLM",
        "size": "7B",
    },
    "whisper-large": {**_KIND, "provider": "steady", "provider_model_id": "whisper", "type": "ASR"},
    "qwen-2.5-7b": {
        **_KIND,
        "provider": "shaky",
        "provider_model_id": "qwen-7b",
        "type": "LLM",
        "size": "7B",
    },
    "mistral-7b": {
        **_KIND,
        "provider": "gate",
        "provider_model_id": "mistral-7b",
        "type": "LLM",
        "size": "7B",
    },
    "acme/support": {
        **_KIND,
        "provider": "steady",
        "provider_model_id": "llama-8b",
        "type": "LLM",
        "size": "8B",
        "source": "private",
        "owner": "acme",
        "files_uploaded": True,
        "tags": ["ready"],
    },
    "llama-base": {
        **_KIND,
        "provider": "steady",
        "provider_model_id": "llama-8b",
        "type": "LLM",
        "size": "8B",
        "learning_stage": "Pre-trained",
    },
}
_PRICES = {"mistral-7b": "0.90", "vision-7b": "2.40", "whisper-large": "0.60"}


class LiveInstallation:
    """A running platform."""

    def __init__(self, directory: Path, url: str, simulator: str, link: str) -> None:
        self.directory, self.url, self.link = directory, url, link
        self.token = link.partition("#token=")[2]
        headers = {"Authorization": f"Bearer {self.token}"}
        self.api = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=WAIT_LIMIT, trust_env=False)
        self.simulator = httpx.Client(base_url=f"{simulator}/control", timeout=WAIT_LIMIT, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self.api.close()
        self.simulator.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return what the API answers."""
        return self.api.get(path, params=query).raise_for_status().json()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the API answers to a change."""
        response = self.api.request(method, path, json=body or {})
        assert response.is_success, response.text
        return response.json()

    def create(self, name: str, model: str = "llama-3.1-8b", account: str = "acme", **more: Any) -> str:
        """Return the id of a new session."""
        body = {
            "account_id": account,
            "model_id": model,
            "name": name,
            "stop": {"max_duration_seconds": 7200},
        }
        return str(self.send("POST", "/sessions", body | more)["id"])

    def until(self, session_id: str, *states: str) -> Any:
        """Return the session once it is in one of these states."""

        def look() -> Any:
            session = self.get(f"/sessions/{session_id}")
            return session if session["state"] in states else None

        return eventually(look, f"{session_id} is {states}", every=0.3)

    def fault(self, name: str, **where: Any) -> str:
        """Plant a fault, and return its id."""
        planted = self.simulator.post("/faults", json={"name": name, **where}).raise_for_status()
        return str(planted.json()["id"])

    def token_of(self, *scopes: str, account: str | None = None) -> str:
        """Return a new token."""
        command = ["token", "create", *(part for scope in scopes for part in ("--scope", scope))]
        made = _ours(self.directory, *command, *(("--account", account) if account else ()))
        return made.stdout.strip()


@contextmanager
def live_platform(directory: Path, *, read_only: bool = False) -> Iterator[LiveInstallation]:
    """Start everything, stock it, and end it afterwards."""
    (directory / "world.json").write_text(json.dumps(_WORLD))
    ready = directory / "simulator.ready"
    command = ["-m", "orchestrator.simulator", "--preload", "world.json", "--ready-file", str(ready)]
    with _running(directory, "simulator", command, {}):
        eventually(ready.exists, "the simulator")
        simulator = json.loads(ready.read_text())["url"]
        (directory / "orchestrator.toml").write_text(_CONFIG.replace("{url}", simulator))
        port = free_port()
        more = {"ORCHESTRATOR_API_PORT": str(port), "ORCHESTRATOR_CONSOLE_READ_ONLY": str(read_only).lower()}
        with _running(directory, "platform", ["-m", "orchestrator", "up"], more):
            url = f"http://127.0.0.1:{port}"
            link = eventually(lambda: _link_in(directory / "platform.log"), "the link")
            assert link is not None
            eventually(lambda: _is_ready(url), "the API")
            live = LiveInstallation(directory, url, simulator, link)
            try:
                yield live
            finally:
                live.close()


def stock(live: LiveInstallation) -> dict[str, str]:
    """Put models and accounts, and bring sessions into every state; return their ids by name."""
    for account in ("acme", "globex"):
        live.send("PUT", f"/accounts/{account}", {"plan": "payg", "currency": "USD"})
        credit = {"amount": "120", "currency": "USD", "key": f"invoice-{account}"}
        live.send("POST", f"/accounts/{account}/credits", credit)
    budget = {"amount": "90", "currency": "USD", "max_burn_per_hour": "25"}
    live.send("PUT", "/accounts/acme/budgets/month", budget)
    for model, fields in MODELS.items():
        live.send("PUT", f"/models/{model}", {**fields, "price_per_node_hour": _PRICES.get(model, "1.20")})
    ids = {
        "chat-frontend": live.create("chat-frontend", description="answers visitors of the shop", nodes=1),
        "summaries": live.create("summaries", stop={"max_duration_seconds": 86400, "max_interactions": 500}),
        "invoice-reader": live.create("invoice-reader", "vision-7b"),
        "call-notes": live.create("call-notes", "whisper-large", account="globex"),
        "gate-1": live.create("nightly-eval", "mistral-7b", account="globex"),
        "gate-2": live.create("eval-two", "mistral-7b", account="globex"),
        "wobbly": live.create("wobbly", "qwen-2.5-7b"),
        "wobbly-too": live.create("wobbly-too", "qwen-2.5-7b"),
        "draft": live.create("draft", start=False),
    }
    ids["queued"] = live.create("eval-three", "mistral-7b", account="globex", on_quota="queue")
    for name in (
        "chat-frontend",
        "summaries",
        "invoice-reader",
        "call-notes",
        "gate-1",
        "gate-2",
        "wobbly",
        "wobbly-too",
    ):
        live.until(ids[name], "running")
    over = live.create("yesterday")
    live.until(over, "running")
    live.send("POST", f"/sessions/{over}/close")
    live.until(over, "stopped")
    live.fault("close_fails", upstream="gate", operation="close")
    live.send("POST", f"/sessions/{ids['gate-2']}/close", {"detail": "evaluation is over"})
    live.fault("dead", upstream="shaky")
    eventually(
        lambda: live.get(f"/sessions/{ids['gate-2']}")["unproven_since"], "an unproven close", every=0.5
    )
    return ids | {"over": over}


def _link_in(log: Path) -> str | None:
    found = re.search(r"console +(http\S+)", log.read_text()) if log.exists() else None
    return found[1] if found else None


def _is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    return False


def _environment(directory: Path, more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    database = f"sqlite:///{directory / 'orchestrator.db'}"
    return {**kept, **_SECRETS, "ORCHESTRATOR_DATABASE_URL": database, **more}


def _ours(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *command],
        cwd=directory,
        env=_environment(directory, {}),
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_LIMIT,
    )


@contextmanager
def _running(directory: Path, name: str, arguments: list[str], more: Mapping[str, str]) -> Iterator[None]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=_environment(directory, more),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
