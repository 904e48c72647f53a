"""What was spent, what running sessions burn, and what is expected by their ends."""

from datetime import date, datetime
from typing import Any

from orchestrator.flows.reports.views import as_text
from orchestrator.rules.billing.costs import CostLine, CostsBy, added_up
from orchestrator.rules.events import rfc3339
from orchestrator.store.transaction import Transaction

#: More running sessions are not computed one by one: what was spent is returned alone.
MOST_RUNNING = 50_000


def costs(
    tx: Transaction,
    now: datetime,
    by: CostsBy,
    since: date | None = None,
    account_id: str | None = None,
    limit: int = 100,
) -> dict[str, Any]:
    """Return the costs since a day in UTC, by default the first of this month. Lines beyond `limit` are in the totals
    only."""
    since = since or now.date().replace(day=1)
    is_complete = tx.costs.running_count(MOST_RUNNING + 1, account_id) <= MOST_RUNNING
    running = tx.costs.running(account_id) if is_complete else ()
    found = added_up(by, tx.costs.spent(by, since, None, account_id), running, now)
    with_future = is_complete and by is not CostsBy.DAY
    return {
        "by": by.value,
        "since": since.isoformat(),
        "at": rfc3339(now),
        "account_id": account_id,
        "items": [_line(line, with_future=with_future) for line in found.lines[:limit]],
        "more": max(0, len(found.lines) - limit),
        "totals": [_line(line, with_future=is_complete) for line in found.totals],
    }


def _line(line: CostLine, *, with_future: bool) -> dict[str, Any]:
    """Return a line; what comes is null where it is not computed."""
    return {
        "key": line.key,
        "currency": line.currency,
        "spent": as_text(line.spent),
        "not_yet_charged": as_text(line.not_yet_charged) if with_future else None,
        "burning_per_hour": as_text(line.burning_per_hour) if with_future else None,
        "expected": as_text(line.expected) if with_future else None,
    }
