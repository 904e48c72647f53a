"""Write docs/metrics.md from the code: `python -m tests.tools.metrics`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import promql_parser
from prometheus_client import Counter, Histogram

from orchestrator.observability.gauges import GAUGES, database_up
from orchestrator.observability.metrics import COUNTED

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_HEAD = """\
# Metrics

Written from the code by `python -m tests.tools.metrics`. Workers, schedulers and the API serve them for Prometheus at
`/metrics`, where `ORCHESTRATOR_METRICS_PORT` is set ([deploying.md](deploying.md#metrics-and-probes)). Names are a
contract: they are added, not changed.
[`deploy/prometheus/alerts.yaml`](../deploy/prometheus/alerts.yaml) has alerts over them, and
[operations.md](operations.md#alerts) says what to do about each.
"""
_COUNTED = """\
## Counted in each process

The processes of one `orchestrator worker` are added up. Samples of what is configured begin at 0, so that `rate()`
sees the first one; a restart begins at 0 again. Add up workers and API processes with `sum`.
"""
_READ = """\
## Read from the database

Read at each scrape, so each process serves the same values: aggregate with `max`, not with `sum`.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """One metric as a query names it. A histogram has the suffixes `_bucket`, `_sum` and `_count`."""

    name: str
    kind: str
    labels: Sequence[str]
    meaning: str

    @property
    def series(self) -> set[str]:
        """The names that queries may use."""
        suffixes = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return {self.name + suffix for suffix in suffixes}


def counted() -> list[Described]:
    """Return what each process counts."""
    return [_counted(metric) for metric in COUNTED]


def gauges() -> list[Described]:
    """Return what is read from the database."""
    first = database_up(is_up=True)
    up = Described(name=first.name, kind="gauge", labels=(), meaning=first.documentation)
    return [
        up,
        *(Described(name=one.name, kind="gauge", labels=one.labels, meaning=one.meaning) for one in GAUGES),
    ]


def series() -> dict[str, set[str]]:
    """Return the name of every series → its labels."""
    return {name: {*one.labels} for one in (*counted(), *gauges()) for name in one.series}


#: Labels that Prometheus gives each series, and those that a query makes.
_ALWAYS = {"instance", "job", "le", "alertname", "severity"}


def unknown_in(query: str) -> list[str]:
    """Return the metrics and labels of a query that do not exist."""
    known, used, wrong = series(), set[str](), list[str]()

    def look(part: object) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            labels = known.get(str(part.name))
            used.update(labels or ())
            wrong.extend([str(part.name)] if labels is None else [])
            matched = {one.name for one in part.matchers.matchers} - _ALWAYS if labels is not None else set()
            wrong.extend(f"{part.name}{{{label}}}" for label in sorted(matched - (labels or set())))

    def look_at_grouping(part: object) -> None:
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            by = set(part.modifier.labels) - _ALWAYS - used
            wrong.extend(f"by ({label})" for label in sorted(by) if not wrong)

    tree = promql_parser.parse(query)
    promql_parser.walk(tree, look)
    promql_parser.walk(tree, look_at_grouping)
    return wrong


def text() -> str:
    """Return the page."""
    return "\n".join([_HEAD, _COUNTED, *_table(counted()), "", _READ, *_table(gauges()), ""])


def _counted(metric: Counter | Histogram) -> Described:
    [family] = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = tuple(metric._labelnames)
    return Described(name=name, kind=family.type, labels=labels, meaning=family.documentation)


def _table(metrics: Sequence[Described]) -> Iterator[str]:
    yield from ("| metric | type | labels | meaning |", "|---|---|---|---|")
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{one.name}` | {one.kind} | {labels} | {one.meaning} |"


if __name__ == "__main__":
    PAGE.write_text(text())
