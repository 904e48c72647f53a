"""What was spent, what running sessions burn, and what is expected by their ends."""

from datetime import date, datetime
from typing import Any

from orchestrator.flows.reports.views import as_text
from orchestrator.rules.billing.costs import CostLine, CostsBy, added_up
from orchestrator.rules.events import rfc3339
from orchestrator.store.transaction import Transaction

#: More running sessions are not computed one by one: for a command, and for a page, which answers in 300 ms.
MOST_RUNNING, MOST_ON_A_PAGE = 50_000, 3_000


def costs(
    tx: Transaction,
    now: datetime,
    by: CostsBy,
    since: date | None,
    account_id: str | None,
    limit: int,
    most_running: int,
) -> dict[str, Any]:
    """Return the costs since a day in UTC, by default the first of this month. Lines beyond `limit` are in the totals
    only. Where more than `most_running` sessions run, the database adds up what they burn, and what is not yet charged
    and what is expected are null."""
    since = since or now.date().replace(day=1)
    is_complete = tx.costs.running_count(most_running + 1, account_id) <= most_running
    running = tx.costs.running(account_id) if is_complete else ()
    burning = () if is_complete else tx.costs.burning(by, account_id)
    found = added_up(by, tx.costs.spent(by, since, None, account_id), running, now, burning)
    of_days = by is CostsBy.DAY  # running sessions belong to no day yet
    return {
        "by": by.value,
        "since": since.isoformat(),
        "at": rfc3339(now),
        "account_id": account_id,
        "items": [
            _line(line, burns=not of_days, ends=is_complete and not of_days) for line in found.lines[:limit]
        ],
        "more": max(0, len(found.lines) - limit),
        "totals": [_line(line, burns=True, ends=is_complete) for line in found.totals],
    }


def _line(line: CostLine, *, burns: bool, ends: bool) -> dict[str, Any]:
    """Return a line; what is not computed is null."""
    return {
        "key": line.key,
        "currency": line.currency,
        "spent": as_text(line.spent),
        "not_yet_charged": as_text(line.not_yet_charged) if ends else None,
        "burning_per_hour": as_text(line.burning_per_hour) if burns else None,
        "expected": as_text(line.expected) if ends else None,
    }
