"""Workers, schedulers and APIs of one host with one metrics port: each serves its own at a port of its own."""

import re
import sys
from functools import partial
from urllib.error import URLError
from urllib.request import urlopen

from tests.processes.conftest import PlatformOn
from tests.processes.platform import Running
from tests.waiting import eventually, free_port

WHERE = re.compile(r"metrics at (http://127\.0\.0\.1:\d+)/metrics")


def served_at(running: Running) -> str:
    """Return where it serves its metrics, by its log."""
    eventually(lambda: WHERE.search(running.text()), f"{running.name} serves its metrics")
    [*_, last] = WHERE.findall(running.text())
    return str(last)


def read(url: str) -> str:
    """Return what is served there; empty while nothing is, or a probe fails."""
    try:
        with urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except (URLError, OSError):
        return ""


def test_two_workers_a_scheduler_and_an_api_with_one_port_each_serve_their_own(
    platform_on: PlatformOn, sqlite_url: str, valkey_url: str
) -> None:
    platform = platform_on(sqlite_url, valkey_url)
    platform.env |= {
        "ORCHESTRATOR_METRICS_PORT": str(free_port()),
        "ORCHESTRATOR_API_PORT": str(free_port()),
    }
    ours = [sys.executable, "-m", "orchestrator"]
    places = [
        served_at(platform.run([*ours, "worker"], name="tree")),
        served_at(platform.run([*ours, "worker", "--pool", "ping"], name="pool")),
        served_at(platform.run([*ours, "scheduler"], name="scheduler")),
        served_at(platform.run([*ours, "api"], name="api")),
    ]
    assert len(set(places)) == 4
    assert "is in use by another process" in platform.processes["pool"].text()
    for place in places:
        for probe in ("healthz", "readyz"):
            assert eventually(partial(read, f"{place}/{probe}"), place) == '{"status": "ok"}'

    def all_report() -> bool:
        text = read(f"{places[2]}/metrics")
        return (
            'orchestrator_processes{kind="ping"} 2.0' in text
            and 'orchestrator_processes{kind="scheduler"} 1.0' in text
        )

    eventually(all_report, "the scheduler's metrics show every process")
    assert 'orchestrator_stops_total{reason="dead"} 0.0' in read(f"{places[0]}/metrics")
    assert "ended with 2" not in platform.processes["tree"].text()
