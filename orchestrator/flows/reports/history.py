"""The last hour as charts show it: one entry a minute, and the sums."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from orchestrator.flows.reports.views import as_text
from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation.minutes import minute_of
from orchestrator.rules.values import Minute, MinuteSample, Verdict
from orchestrator.rules.values.minutes import INSTALLATION
from orchestrator.store.transaction import Transaction

HOUR = timedelta(hours=1)


def last_hour(tx: Transaction, now: datetime, provider: str | None = None) -> dict[str, Any]:
    """Return the minutes of the last hour, oldest first, and the pings, starts, opens and closes of all of them: at one
    provider, or everywhere. A minute of which nothing is known is left out."""
    found = tx.minutes.since(minute_of(now) - HOUR, minute_of(now), provider)
    by_minute = [list(rows) for _, rows in groupby(found, key=lambda row: row.minute)]
    return {
        "minutes": [_minute(rows, provider or INSTALLATION) for rows in by_minute],
        **_counts(found),
        **_placements(row.sample for row in found if row.provider == (provider or INSTALLATION)),
    }


def _minute(rows: Sequence[Minute], of: str) -> dict[str, Any]:
    sample = next((row.sample for row in rows if row.provider == of), None)
    return {
        "at": rfc3339(rows[0].minute),
        **_counts(rows),
        **_placements([sample]),
        "sample": None if sample is None else _sample(sample),
    }


def _counts(rows: Iterable[Minute]) -> dict[str, Any]:
    counts = [row.counts for row in rows]
    by_verdict = {verdict.value: sum(one.by_verdict[verdict] for one in counts) for verdict in Verdict}
    pings = sum(by_verdict.values())
    began = sum(one.began_running for one in counts)
    return {
        "pings": {
            "count": pings,
            "by_verdict": by_verdict,
            "mean_ms": _mean(sum(one.ping_ms for one in counts), pings),
            "most_ms": max((one.ping_most_ms for one in counts), default=0) if pings else None,
            "tokens": sum(one.tokens for one in counts),
            "cost_usd": as_text(sum((one.cost_usd for one in counts), Decimal(0))),
        },
        "starts": {
            "count": began,
            "mean_ms": _mean(sum(one.until_running_ms for one in counts), began),
            "most_ms": max((one.until_running_most_ms for one in counts), default=0) if began else None,
        },
    }


def _placements(samples: Iterable[MinuteSample | None]) -> dict[str, Any]:
    known = [one for one in samples if one is not None]
    closed = sum(one.closed for one in known)
    return {
        "opens": {
            "succeeded": sum(one.opened for one in known),
            "failed": sum(one.not_opened for one in known),
        },
        "closes": {
            "count": closed,
            "mean_ms": _mean(sum(one.close_lag_ms for one in known), closed),
            "most_ms": max((one.close_lag_most_ms for one in known), default=0) if closed else None,
        },
    }


def _sample(sample: MinuteSample) -> Mapping[str, Any]:
    return {
        "at": rfc3339(sample.sampled_at),
        "sessions": sample.sessions,
        "unproven": sample.unproven,
        "money_at_risk": sample.at_risk,
        "burning_per_hour": sample.burning,
        "overdue_seconds": sample.overdue_seconds,
    }


def _mean(total: int, n: int) -> int | None:
    return round(total / n) if n else None
