"""Any TOML document is a configuration or a list of faults by their paths, never a stack trace.

The documents are the sample files with one to three values replaced, added, removed or moved, so that most of a
document stays sensible and its readers are reached."""

import json
import os
import random
import tomllib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from orchestrator import wiring
from orchestrator.settings import ConfigurationError, Fault, Settings

ROOT = Path(__file__).parents[2]
SAMPLES = ("orchestrator.toml", "laptop.toml", "catalog.toml")
#: Documents that the suite tries; `CONFIGURATIONS=20000` tries more.
DOCUMENTS = int(os.environ.get("CONFIGURATIONS", "600"))
#: Documents in one test, so that tests can run beside each other.
SHARE = 150
VALUES: tuple[Any, ...] = (
    *(
        "",
        " ",
        "x",
        "20",
        "1.50",
        "-1",
        "unlimited",
        "plan",
        "env:KEY",
        "env:*",
        "file:/",
        "file:/no/such",
        "USD",
    ),
    *(
        "http://",
        "https://h:port",
        "https://[::1",
        "http://h\\x",
        "a\x00b",
        "\x1b[2J",
        "é" * 300,
        "up",
        "openai",
    ),
    *(0, 1, -1, 2**31, 2**63, 10**30, 0.0, 0.5, -0.5, 1e308, float("inf"), float("nan"), True, False),
    *([], {}, [[]], [{}], [1], ["a"], ["a", "a"], [None, 1][1:], {"a": 1}, {"": ""}, {"ref": "env:A"}),
    *({"secret_ref": 1, "host": []}, [{"secret_ref": "env:A_*", "host": "h:port"}], ["10.0.0.0/8", "x"]),
    *(date(2026, 1, 1), time(1, 2), datetime(2026, 1, 1)),  # noqa: DTZ001  (TOML has local times)
)


def _written(value: Any) -> str:
    """Return a value in TOML's inline syntax."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case float():
            return str(value)
        case dict():
            return (
                "{"
                + ", ".join(f"{json.dumps(key)} = {_written(below)}" for key, below in value.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(map(_written, value)) + "]"
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _containers(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    if isinstance(value, dict | list):
        yield value
        for below in value.values() if isinstance(value, dict) else value:
            yield from _containers(below)


def _change(document: dict[str, Any], rng: random.Random) -> None:
    place = rng.choice(list(_containers(document)))
    value = deepcopy(rng.choice(VALUES))
    if isinstance(place, list):
        place.insert(rng.randint(0, len(place)), value)
        return
    keys = sorted(place)
    key = rng.choice(
        [*keys, rng.choice(["x", "id", "plan", "quota", "max_sessions", "ping_interval_seconds"])]
    )
    if key in place and rng.random() < 0.15:
        del place[key]
    elif keys and rng.random() < 0.1:
        place[key] = deepcopy(place[rng.choice(keys)])
    else:
        place[key] = value


def _document(seed: int) -> str:
    rng = random.Random(seed)
    document = tomllib.loads((ROOT / "deploy" / rng.choice(SAMPLES)).read_text())
    for _ in range(rng.randint(1, 3)):
        _change(document, rng)
    return "\n".join(f"{json.dumps(key)} = {_written(value)}" for key, value in document.items())


def _faults(settings: Settings, seed: int) -> Sequence[Fault]:
    try:
        wiring.read_configuration(settings)
    except ConfigurationError as error:
        return error.faults
    except Exception as error:
        raise AssertionError(f"seed {seed}:\n{settings.config.read_text()}") from error
    return ()


@pytest.mark.parametrize("first", range(0, DOCUMENTS, SHARE))
def test_any_document_is_read_or_its_faults_are_named(first: int, tmp_path: Path) -> None:
    settings = Settings(config=tmp_path / "orchestrator.toml")
    faulty = 0
    for seed in range(first, min(first + SHARE, DOCUMENTS)):
        settings.config.write_text(_document(seed))
        faults = _faults(settings, seed)
        faulty += bool(faults)
        assert all(fault.path and fault.message for fault in faults), seed
    assert faulty > 0, "some documents are wrong"


def test_a_wrong_quota_in_a_plan_without_one_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.toml"
    path.write_text('[plans.contract]\nmax_sessions = "20"\n')
    with pytest.raises(ConfigurationError, match=r"plans\.contract\.max_sessions: must be a whole number"):
        wiring.read_configuration(Settings(config=path))
