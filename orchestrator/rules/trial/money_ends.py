"""When the funds of an account would end: of one session after the other."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from orchestrator.rules.billing.money import FundsEnd, cost_if_stopped_at, funds_end
from orchestrator.rules.values import Session

#: So many sessions of one account are stopped in turn; the funds of further ones are not foreseen.
MOST_STOPPED = 50


def funds_ends(
    balance: Decimal, running: Sequence[Session], now: datetime, overdraft: Decimal
) -> Mapping[str, FundsEnd]:
    """Return session id → when the account cannot pay its next block. The end is computed again after each stop, as
    flows do."""
    left, found, since = list(running), dict[str, FundsEnd](), now
    while len(found) < MOST_STOPPED:
        end = funds_end(balance, left, since, overdraft)
        if end is None:
            break
        found[end.session_id] = end
        [stopped] = [one for one in left if one.id == end.session_id]
        balance -= cost_if_stopped_at(stopped, end.at) - stopped.charged
        left.remove(stopped)
        since = end.at
    return found
