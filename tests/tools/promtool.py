"""Prometheus' own tool over our rules: does a story of samples fire an alert?"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Metric

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
HOW_TO_GET_IT = (
    "this test needs promtool. On Debian and Ubuntu: apt-get install --no-install-recommends prometheus"
    " (`systemctl disable --now prometheus` stops the server that comes with it). Elsewhere put `promtool` into PATH."
)


def alerts() -> dict[str, dict[str, Any]]:
    """Return each alert's rule by its name."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


class NoPromtool(Exception):
    """The tool is missing. The message says how to get it."""


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it. Raises NoPromtool."""
    program = shutil.which("promtool")
    if program is None:
        raise NoPromtool(HOW_TO_GET_IT)
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@dataclass
class Samples:
    """What scrapes have shown, in equal steps of time from `start` on."""

    start: datetime
    step: timedelta
    count: int = 0
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    """Series → number of the scrape → value."""

    def add(self, at: datetime, families: Iterable[Metric], instance: str = "one") -> None:
        """Add a scrape of one instance. Instants become seconds since `start`, which is time 0 of the tool."""
        number = round((at - self.start) / self.step)
        self.count = max(self.count, number + 1)
        for family in families:
            for sample in family.samples:
                shift = self.start.timestamp() if sample.name.endswith("_timestamp_seconds") else 0.0
                series = _series(sample.name, {**sample.labels, "job": "orchestrator", "instance": instance})
                self.values.setdefault(series, {})[number] = sample.value - shift

    def input_series(self) -> Iterator[dict[str, str]]:
        """Yield the series as the tool reads them."""
        for series, values in sorted(self.values.items()):
            first = min(values)
            known = [f"{values[n]:.9g}" if n in values else "stale" for n in range(first, self.count)]
            yield {"series": series, "values": " ".join(["_"] * first + known)}


def _series(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels.items()))}}}"


def fault_of_alerts(samples: Samples, alerts: Sequence[str], directory: Path) -> str:
    """Return how the alerts that fired at any time differ from these; empty where they are the same."""
    fired = {
        "expr": 'group by (alertname) (count_over_time(ALERTS{alertstate="firing"}[365d]))',
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts],
    }
    return _fault(samples, [fired], directory)


def _fault(samples: Samples, expressions: Sequence[Mapping[str, object]], directory: Path) -> str:
    step, end = f"{samples.step.total_seconds():g}s", samples.step * (samples.count - 1)
    tests = [{"eval_time": f"{end.total_seconds():g}s", **one} for one in expressions]
    story = {"interval": step, "input_series": [*samples.input_series()], "promql_expr_test": tests}
    file = directory / "story.yaml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": step, "tests": [story]}
    file.write_text(json.dumps(document))  # JSON is YAML
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"
