"""The inputs, the same ones at each run: every one is made from its number."""

import json
import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

from tests.client.test_requests import ATTACH, SMALLEST
from tests.recorded.changes import broken

BASE = Path(__file__).with_name("base.toml")

_ANYTHING: tuple[Any, ...] = (
    *("", " ", "x", "20", "1.50", "-1", "NaN", "1e3", "0", "é" * 300, "a\x00b", "\x1b[2J", "a\nb"),
    *(
        "unlimited",
        "plan",
        "payg",
        "USD",
        "env:KEY",
        "env:AIML_KEY_1",
        "env:*",
        "sk-live-1234",
        "file:/no/such",
    ),
    *(
        "http://",
        "https://h:port",
        "https://u:p@h/v1",
        "https://[::1",
        "ftp://h",
        "https://h/v1?k=1",
        "h:443",
    ),
    *(
        0,
        1,
        -1,
        2**31,
        2**63,
        10**30,
        10**400,
        0.0,
        0.5,
        -0.5,
        1e308,
        float("inf"),
        float("nan"),
        True,
        False,
    ),
    *([], {}, [[]], [{}], [1], ["a"], ["a", "a"], ["a", 1], {"a": 1}, {"": ""}, {"ref": "env:A"}),
)
_OF_TOML: tuple[Any, ...] = (
    *_ANYTHING,
    *("openai", "fpt", "opnai", "archive", "keep", "file:/../x", "https://h/v1/"),
    *(
        {"ref": "env:AIML_KEY_1", "retird": True},
        {"ref": 1, "retired": 1},
        ["env:A", "env:A"],
        ["10.0.0.0/8", "x"],
    ),
    *({"secret_ref": 1, "host": []}, [{"secret_ref": "env:A_*", "host": "h:port"}], ["10.0.0.1/8"], [900, 0]),
    *(date(2026, 1, 1), time(1, 2), datetime(2026, 1, 1)),  # noqa: DTZ001  (TOML has local times)
)
_OF_JSON: tuple[Any, ...] = (
    *_ANYTHING,
    *(
        None,
        "queue",
        "operator",
        "LLM",
        "ASR",
        "private",
        "x" * 65,
        "\ud800",
        {1: 1},
        {"k": {"k": [None]}},
        [None],
    ),
    *(
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        {"max_cost": "1.5"},
        {"idle_seconds": 0},
    ),
)

#: What jobs may have besides their smallest form.
_MORE: Mapping[str, Mapping[str, Any]] = {
    "session.create": {
        "name": "n",
        "session_id": "s:1",
        "description": "one\ntwo",
        "nodes": 2,
        "stop": {"max_duration_seconds": 60, "max_interactions": 5, "idle_seconds": 30, "max_cost": "1.50"},
        "start": False,
        "on_quota": "queue",
        "failover": True,
        "provider_options": {"direct_payment": True, "failover": False, "bid_id": "0xab"},
        "provider": "morpheus",
        "credential": "env:MORPHEUS_KEY_1",
        "attach": {**ATTACH, "ends_at": "2026-01-01T01:00:00+01:00"},
        "metadata": {"team": ["a", {"b": 1.5}], "none": None},
    },
    "session.start": {"on_quota": "reject"},
    "session.close": {"reason": "operator", "detail": "why", "confirm": True, "force": True, "by": "ann"},
    "session.extend": {"max_duration_seconds": 60, "max_cost": "2"},
    "session.record_interactions": {
        "batch": [
            {"session_id": "s-1", "count": 3, "ok": False, "at": "2026-01-01T00:00:00Z"},
            {
                "session_id": "s-2",
                "count": 1,
                "began": "2026-01-01T00:00:00Z",
                "ended": "2026-01-01T00:01:00Z",
            },
        ]
    },
    "account.put": {"quota": {"max_sessions": 3, "max_nodes": "unlimited"}, "overdraft_limit": "5"},
    "model.put": {
        "providers": ["a", "b"],
        "provider_model_ids": {"a": "x", "b": "y"},
        "source": "private",
        "owner": "acme",
        "files_uploaded": True,
        "tags": ["ready"],
        "max_duration_seconds": 60,
        "max_interactions": 5,
    },
}

#: Values of environment variables; a data directory whose socket fits, so that none is made elsewhere.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "DATABASE_URL": (
        *("sqlite:///o.db", "postgres://u:p@h/d", "postgresql://h1,h2/d", "sqlite://", "mysql://u:p@h/d", ""),
        *("postgresql+psycopg://h:port/d", "sqlite:///:memory:", "postgresql://u:p/x@h/d", "x"),
    ),
    "BROKER_URL": (
        *(
            "redis://h:6379/0",
            "rediss://:p@h/1",
            "amqp://u:p@h//",
            "sentinel://a:1;sentinel://b:1",
            "kafka://h",
        ),
        *("redis://h:none/0", "redis://h/ 0", "memory://", "localhost", "", "redis+socket:///run/v.sock"),
    ),
    "RESULT_URL": ("redis://h:6379/1", "rpc://", "amqp://h", "sentinel://a:1", "", "db+sqlite:///x"),
    "SENTINEL_MASTER": ("main", "", " "),
    "CONFIG": ("orchestrator.toml", "", "/etc/o.toml", "é"),
    "LOG": ("console", "json", "JSON", "xml", "", "1"),
    "METRICS_PORT": ("9100", "0", "65535", "65536", "off", "OFF", "http", "", "-1", "80.5", " 80 ", "1_000"),
    "METRICS_HOST": ("0.0.0.0", "", "::1", "a b"),
    "FINGERPRINT_KEY": ("k", ""),
    "METRIC_PORT": ("9100",),
    "TEST_X": ("1",),
    "AIML_KEY": ("secret",),
    "DATABSE_URL": ("",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FileInput:
    """An `orchestrator.toml`, and whether its secrets must exist."""

    text: str
    require_secrets: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class JobInput:
    name: str
    kwargs: Any


def file_input(number: int) -> FileInput:
    """Return a configuration file: parts of the base, changed here and there."""
    rng = random.Random(f"file {number}")
    document = broken(_parts(rng), rng, _OF_TOML)
    text = "\n".join(f"{json.dumps(key)} = {_in_toml(value)}" for key, value in document.items())
    return FileInput(text=_garbled(text, rng), require_secrets=rng.random() < 0.5)


def environment_input(number: int) -> Mapping[str, str]:
    """Return variables with our prefix, some of them wrong."""
    rng = random.Random(f"environment {number}")
    names = [name for name in _VARIABLES if rng.random() < 0.3]
    given = {f"ORCHESTRATOR_{name}": rng.choice(_VARIABLES[name]) for name in names}
    return {"ORCHESTRATOR_DATA_DIR": rng.choice(["/run/o", "/srv/x"]), **given}


def job_input(number: int) -> JobInput:
    """Return a job's keyword arguments: its smallest form and some of what it may have, changed here and there."""
    rng = random.Random(f"job {number}")
    name = rng.choice([*SMALLEST, "session.create", "model.put", "session.close"])
    more = _MORE.get(name, {})
    kwargs = SMALLEST[name] | {key: value for key, value in more.items() if rng.random() < 0.5}
    if rng.random() < 0.01:
        return JobInput(name="orchestrator.session.destroy", kwargs=kwargs)
    if rng.random() < 0.01:
        return JobInput(name=f"orchestrator.{name}", kwargs=rng.choice(_OF_JSON))
    return JobInput(name=f"orchestrator.{name}", kwargs=broken(kwargs, rng, _OF_JSON))


#: How many inputs of each kind there are, and how each is made.
SECTIONS: Mapping[str, tuple[int, Callable[[int], Any]]] = {
    "files": (1_250, file_input),
    "environments": (300, environment_input),
    "jobs": (1_500, job_input),
}


def _parts(rng: random.Random) -> dict[str, Any]:
    """Return some of the base's tables and providers, so that documents stay small; models with their providers."""
    parts = {key: value for key, value in _base().items() if rng.random() < (0.1 if key == "models" else 0.4)}
    needed = {"vllm", "morpheus"} if "models" in parts else set()
    for key, share in (("policy", 0.3), ("providers", 0.2), ("plans", 0.4)):
        if key in parts or (needed and key == "providers"):
            below = _base()[key].items()
            parts[key] = {name: value for name, value in below if rng.random() < share or name in needed}
    return parts


@cache
def _base() -> Mapping[str, Any]:
    return tomllib.loads(BASE.read_text())


def _garbled(text: str, rng: random.Random) -> str:
    """Return the text, rarely with an error of syntax."""
    if rng.random() >= 0.02 or not text:
        return text
    line = text.splitlines()[0]
    return rng.choice(
        [text[: len(text) // 2], f"{text}\n{line}", f"{text}\n[policy", f"{text}\nx = {'1' * 5_000}"]
    )


def _in_toml(value: Any) -> str:
    """Return a value in TOML's inline syntax."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case dict():
            return (
                "{"
                + ", ".join(f"{json.dumps(key)} = {_in_toml(below)}" for key, below in value.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(map(_in_toml, value)) + "]"
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)
