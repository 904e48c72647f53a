"""The terms under which sessions live: as they are, or as they would be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from orchestrator.rules.admission.quota import QUOTAS, AccountTerms
from orchestrator.rules.states import ACTIVE, State
from orchestrator.rules.values import Account, Plan, Policy, Session
from orchestrator.rules.values.copies import replace

_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rulebook:
    """Policies by provider, terms by account, and prices that differ from those of the sessions."""

    policy_for: Callable[[str | None], Policy]
    terms_of: Callable[[Account], AccountTerms]
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    """Model → price of a node-hour. Sessions of other models keep theirs."""


def begun_under(session: Session, old: Plan, new: Plan, price: Decimal | None) -> Session:
    """Return the session as if it had begun under this plan and price. A session keeps the terms of its beginning, so
    only what differs between the plans is laid over it."""
    changes: dict[str, Any] = {}
    if old.max_duration_seconds != new.max_duration_seconds:
        changes["plan_max_duration_seconds"] = new.max_duration_seconds
    if old.billing_block_seconds != new.billing_block_seconds:
        changes["block_seconds"] = new.billing_block_seconds
    if price is not None and price != session.price_per_node_hour:
        changes["price_per_node_hour"] = price
    longer = new.queue_timeout_seconds - old.queue_timeout_seconds
    if longer and session.queue_deadline_at is not None:
        changes["queue_deadline_at"] = session.queue_deadline_at + longer * _SECOND
    return replace(session, **changes) if changes else session


def changes_quota(old: AccountTerms, new: AccountTerms) -> bool:
    """Return whether admission counts against other limits."""
    return any(getattr(old.plan, name) != getattr(new.plan, name) for name in QUOTAS)


def before_its_stop(session: Session) -> Session | None:
    """Return a session that has stopped as it was just before; None for one that never waited or ran."""
    if session.stopped_at is None:
        return None
    if session.ever_ran:
        since = session.stopped_at - session.ran_microseconds * _MICROSECOND
        return replace(session, state=State.RUNNING, running_since=since, ran_microseconds=0)
    if session.starting_at is not None:
        return replace(session, state=State.STARTING)
    return replace(session, state=State.QUEUED) if session.queued_at is not None else None


def is_open(session: Session) -> bool:
    """Return whether rules may still stop the session."""
    return session.state is State.QUEUED or session.state in ACTIVE
