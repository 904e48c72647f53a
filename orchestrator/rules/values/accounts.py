"""Accounts, which pay for sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from orchestrator.rules.values.budgets import Budget, BudgetPeriod
from orchestrator.rules.values.leases import Due


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    id: str
    plan: str
    currency: str
    balance: Decimal
    """Cache of the ledger: credits less posted charges. Cost since the last posting is not in it."""
    quota: Mapping[str, int | None] = field(default_factory=dict)
    """Its own limits in place of its plan's, by their names there; None: no limit."""
    overdraft_limit: Decimal | None = None
    """None: its plan's limit."""
    budgets: tuple[Budget, ...] = ()
    """At most one for each period."""
    charged_under: Decimal | None = None
    """How far below zero its last charge was allowed to bring it; None: never charged, or by an earlier release."""
    funds_end_at: datetime | None = None
    """The first block boundary that the balance, or a budget with a hard stop, cannot pay; None if nothing runs."""
    funds_session_id: str | None = None
    """The session with the block that begins there: it stops. None if many run and the end is far: the funds last
    beyond `funds_end_at` by a block at most, and the boundary is computed as it comes nearer."""
    funds_end_by: BudgetPeriod | None = None
    """The budget that ends there, or that ended last; None: the balance."""
    warned_seconds: int | None = None
    """The nearest warning of this shortage that was sent."""
    next_charge_at: datetime | None = None
    """The hourly posting, while something runs."""
    charging_since: datetime | None = None
    """The hourly posting of which a part is done: its `next_charge_at`."""
    charged_up_to: str | None = None
    """The last session, by id, to which that part goes."""
    last_admitted_at: datetime | None = None
    due: Due | None = None
    revision: int = 0
    created_at: datetime

    @property
    def is_grouped(self) -> bool:
        """Return whether its funds were last computed from groups of its sessions, as these are many."""
        return self.funds_end_at is not None and self.funds_session_id is None
