"""A real Prometheus server: it scrapes the processes of a run, and evaluates our alert rules each second."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.chaos.quick_rules import quickened
from tests.tools.promtool import HOW_TO_GET_IT, RULES
from tests.waiting import eventually, free_port

#: Two workers and two schedulers, and ports that a killed one has left a moment ago.
PORTS = 6
#: Between two scrapes, and the longest that one may take. CHAOS_SCRAPE_EVERY=6s suits a machine that is very busy.
EVERY = os.environ.get("CHAOS_SCRAPE_EVERY", "2s")
#: Every alert that fires, as Prometheus keeps it.
_FIRING = 'ALERTS{alertstate="firing"}'


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def is_ready(self) -> bool:
        """Return whether it answers queries."""
        with suppress(httpx.TransportError):
            return self._http.get("/-/ready").is_success
        return False

    def holds(self, expression: str) -> bool:
        """Return whether an expression has a result now."""
        return bool(self._asked("query", query=expression))

    def firing(self) -> set[str]:
        """Return the alerts that fire now."""
        return _names(self._asked("query", query=_FIRING))

    def fired(self, since: datetime, until: datetime | None = None) -> set[str]:
        """Return the alerts that fired at some time of this span. `until`: None is now."""
        span = {"start": since.timestamp(), "end": (until or datetime.now(UTC)).timestamp(), "step": 1}
        return _names(self._asked("query_range", query=_FIRING, **span))

    def close(self) -> None:
        self._http.close()

    def _asked(self, what: str, **params: Any) -> list[dict[str, Any]]:
        answer = self._http.get(f"/api/v1/{what}", params=params).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


@contextmanager
def prometheus(directory: Path, metrics_port: int) -> Iterator[Prometheus]:
    """Start it on a free port of this machine alone. It scrapes `PORTS` ports from `metrics_port` on."""
    program = shutil.which("prometheus")
    assert program is not None, HOW_TO_GET_IT
    directory.mkdir()
    url = f"127.0.0.1:{free_port()}"
    arguments = {
        "config.file": _configured(directory, metrics_port),
        "storage.tsdb.path": directory / "data",
        "web.listen-address": url,
        "log.level": "warn",
    }
    with (directory / "prometheus.log").open("ab") as log:
        command = [program, *(f"--{name}={value}" for name, value in arguments.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Prometheus(f"http://{url}")
    try:
        eventually(server.is_ready, "Prometheus answers")
        yield server
    finally:
        server.close()
        process.kill()
        process.wait()


def _configured(directory: Path, metrics_port: int) -> Path:
    """Write its configuration and the rules; return the path of the former."""
    rules, configuration = directory / "alerts.json", directory / "prometheus.json"
    rules.write_text(json.dumps(quickened(yaml.safe_load(RULES.read_text()))))  # JSON is YAML
    targets = [f"127.0.0.1:{metrics_port + n}" for n in range(PORTS)]
    document = {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "orchestrator", "static_configs": [{"targets": targets}]}],
    }
    configuration.write_text(json.dumps(document))
    return configuration


def _names(series: list[dict[str, Any]]) -> set[str]:
    return {one["metric"]["alertname"] for one in series}
