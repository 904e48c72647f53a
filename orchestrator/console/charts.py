"""The last hour as charts: one line for each measure, from the minutes that the store keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from orchestrator.console import drawing
from orchestrator.console.wording import instant, number, span

Minute = Mapping[str, Any]
#: Verdicts that are an answer.
_GOOD = "ALIVE"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its newest value."""

    label: str
    newest: str
    drawing: Markup
    leads_to: str | None


@dataclass(frozen=True, slots=True)
class _Measure:
    """One number of a minute; None if it is not known."""

    label: str
    value: Callable[[Minute], float | None]
    shown: Callable[[float], str]
    tone: str = "calm"
    leads_to: str | None = None
    """The page that shows more of it."""


def complete(hour: Mapping[str, Any], now: datetime) -> Sequence[Minute]:
    """Return the minutes that are over: what was counted in the one under way says nothing about a rate."""
    return [one for one in hour["minutes"] if (at := instant(one["at"])) is not None and at + MINUTE <= now]


def of_installation(minutes: Sequence[Minute]) -> list[Chart]:
    """Return the charts of the overview."""
    return [
        *_drawn(
            minutes,
            _Measure("Pings a second", lambda m: m["pings"]["count"] / 60, _rate, "good", "/providers"),
            _Measure("Pings without an answer", _failed, _whole, "bad", "/providers"),
            _Measure(
                "Running sessions",
                lambda m: _sampled(m, _running),
                _whole,
                "good",
                "/sessions?state=running",
            ),
            _Measure("Money burning an hour", lambda m: _sampled(m, _burning), _amount, leads_to="/costs"),
            _Measure(
                "Closes without proof",
                lambda m: _sampled(m, lambda s: s["unproven"]),
                _whole,
                "bad",
                "/unproven",
            ),
            _Measure(
                "Oldest overdue step", lambda m: _sampled(m, lambda s: s["overdue_seconds"]), span, "warn"
            ),
        )
    ]


def of_provider(minutes: Sequence[Minute]) -> list[Chart]:
    """Return the charts of one provider."""
    return [
        *_drawn(
            minutes,
            _Measure("Latency of pings", lambda m: m["pings"]["mean_ms"], _milliseconds),
            _Measure("Pings a second", lambda m: m["pings"]["count"] / 60, _rate, "good"),
            _Measure("Pings without an answer", _failed, _whole, "bad"),
        )
    ]


def _drawn(minutes: Sequence[Minute], *measures: _Measure) -> Sequence[Chart]:
    """Return the charts of what has been known for two minutes or more."""
    drawn = []
    for one in measures:
        points = _points(minutes, one.value)
        if len(points) > 1:
            drawing_of_it = drawing.line(points, f"{one.label}, minute by minute", one.tone)
            drawn.append(Chart(one.label, one.shown(points[-1][1]), drawing_of_it, one.leads_to))
    return drawn


def _points(
    minutes: Sequence[Minute], value: Callable[[Minute], float | None]
) -> list[tuple[datetime, float]]:
    known = ((instant(one["at"]), value(one)) for one in minutes)
    return [(at, float(found)) for at, found in known if at is not None and found is not None]


def _sampled(minute: Minute, value: Callable[[Minute], float]) -> float | None:
    sample = minute["sample"]
    return None if sample is None else value(sample)


def _failed(minute: Minute) -> float:
    pings = minute["pings"]
    return float(pings["count"] - pings["by_verdict"].get(_GOOD, 0))


def _running(sample: Minute) -> float:
    return float(sample["sessions"].get("running", 0))


def _burning(sample: Minute) -> float:
    return sum(float(amount) for amount in sample["burning_per_hour"].values())


def _whole(value: float) -> str:
    return number(int(value))


def _rate(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _amount(value: float) -> str:
    return f"{value:,.2f}"


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms"
