"""The installation on one page: what lives, what it costs, what is late, and the last hour."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.flows.reports.history import last_hour
from orchestrator.flows.reports.measure import oldest_due
from orchestrator.flows.reports.views import as_text, at_risk
from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation import liveness
from orchestrator.store.transaction import Transaction


def overview(tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return everything that a person reads first."""
    return {
        "at": rfc3339(now),
        "sessions": [
            {"state": state.value, "provider": provider, "count": count}
            for state, provider, count in tx.sessions.count_by_state()
        ],
        "burning_per_hour": {currency: as_text(amount) for currency, amount in tx.minutes.burning().items()},
        "overdue_seconds": {
            step.value: max(0.0, (now - at).total_seconds()) for step, at in oldest_due(tx, now).items()
        },
        **_unproven(tx, now),
        "forced_closes": tx.leftovers.count_forced(),
        "brakes": sorted({brake.provider for brake in tx.brakes.holding(now)}),
        "alarms": len(tx.alarms.listed()) + len(tx.installation_alarms.listed()),
        "audit": {
            "violations": sum(tx.findings.counts().values()),
            "checked_at": rfc3339(tx.findings.last_run()),
        },
        "parked_messages": sum(tx.parked.counts().values()),
        "processes": _processes(tx, now),
        "last_hour": last_hour(tx, now),
    }


def _unproven(tx: Transaction, now: datetime) -> Mapping[str, Any]:
    found = tx.placements.unproven()
    risk: dict[str, Decimal] = {}
    for placement in found:
        risk[placement.currency] = risk.get(placement.currency, Decimal(0)) + at_risk(placement, now)
    amounts = {currency: as_text(amount) for currency, amount in risk.items()}
    return {"unproven_closes": len(found), "money_at_risk": amounts}


def _processes(tx: Transaction, now: datetime) -> Mapping[str, Any]:
    workers = tx.workers.listed(since=now - liveness.DEATHS_WITHIN)
    alive = Counter(one.kind for one in liveness.alive(workers, now))
    return {
        "alive": dict(sorted(alive.items())),
        "missing": liveness.missing_kinds(workers, now),
        "last_tick_at": rfc3339(liveness.last_sent(workers)),
    }
