"""Lock what an answer is settled on, and say whether its lease still holds."""

from dataclasses import dataclass
from typing import Any

from orchestrator.flows.engine.provider_steps import Answer
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.rules.values import Placement, Session
from orchestrator.store.transaction import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The locked rows that an answer is settled on. `work` and `session` are None for an orphan."""

    work: AccountWork | None
    session: Session | None
    placement: Placement
    lease_held: bool


def lock_under_lease(services: Services, tx: Transaction, answer: Answer[Any, Any]) -> Held | None:
    """Lock account, session and placement in that order; None where the placement is gone."""
    claimed = answer.claimed
    placement = claimed.placement
    work = on_account(services, tx, placement.account_id) if placement.account_id else None
    session = tx.sessions.lock(placement.session_id) if placement.session_id else None
    current = tx.placements.lock(placement.id)
    if current is None:
        return None
    held = current.lease is not None and current.lease.token == claimed.token
    if current.credential is not None and current.serialised:
        rest = services.policy(current.provider).credential_rest_seconds
        tx.credentials.release(current.provider, current.credential, claimed.token, tx.now(), rest)
    return Held(work=work, session=session, placement=current, lease_held=held)
