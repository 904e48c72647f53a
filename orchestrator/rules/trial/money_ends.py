"""When the funds of an account would end: of one session after the other."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from orchestrator.rules.billing.hard_stops import FundsLimit, next_ends
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.values import Session

#: This many sessions of one account are stopped in turn; the funds of further ones are not foreseen.
MOST_STOPPED = 50


def funds_ends(
    limits: Sequence[FundsLimit], running: Sequence[Session], now: datetime
) -> Mapping[str, FundsEnd]:
    """Return session id → when its next block cannot be paid: by the balance, or by a budget with a hard stop in its
    period of now. The end is computed again after each stop, as flows do."""
    return {end.session_id: end for end in next_ends(limits, running, now, MOST_STOPPED)}
