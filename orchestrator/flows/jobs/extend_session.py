"""Extend a session: new totals, within the limits of model, plan and provider."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.client.requests import ExtendSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import places
from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.sessions.stops import is_used_up, seconds_at_its_place
from orchestrator.rules.states import ACTIVE, TERMINAL, State
from orchestrator.rules.values import Policy, Session
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.transaction import Transaction


def extend_session(services: Services, tx: Transaction, request: ExtendSession) -> Mapping[str, Any]:
    """Extend the session, and return it with its new deadline."""
    work, session = lookup.session(services, tx, request.session_id)
    if session.state in TERMINAL | {State.STOPPING}:
        raise lookup.wrong_state(session, "a session that is not over can be extended")
    _check_raised(session, request)
    policy = work.policy(session)
    moves = session.failover and places.attempts_left(tx, session, policy, work.now) > 0
    _check_within(session, request, None if moves else seconds_at_its_place(session, policy, work.now))
    given = request.model_dump(exclude={"session_id"}, exclude_none=True)
    longer = replace(session, **{name: getattr(request, name) for name in given})
    _check_not_over(longer, policy, work.now)
    live = session.state in ACTIVE  # a queued one keeps its turn
    saved = work.keep(session, work.planned(longer) if live else longer)
    work.finish()
    return views.of_session(tx, saved, work.now)


def _check_raised(session: Session, request: ExtendSession) -> None:
    """Refuse a lower total: it would stop the session, and stops have their own job."""
    for name in ("max_duration_seconds", "max_interactions", "max_cost"):
        now, wanted = getattr(session, name), getattr(request, name)
        if now is not None and wanted is not None and wanted < now:
            present = money_text(now) if isinstance(now, Decimal) else now
            message = f"{name}: the new total is below the present one of {present}; extending only raises it"
            fault = {"loc": name, "msg": message, "type": "value"}
            raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[fault])


def _check_not_over(longer: Session, policy: Policy, now: datetime) -> None:
    """Refuse a first total that is already used up: it would stop the session in the past, and the platform would pay
    for the time since."""
    if is_used_up(longer, policy, now):
        message = "the new total is used up already: close the session instead"
        fault = {"loc": "request", "msg": message, "type": "value"}
        raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[fault])


def _check_within(session: Session, request: ExtendSession, declared: int | None) -> None:
    limits = (
        ("max_duration_seconds", "the plan", session.plan_max_duration_seconds),
        ("max_duration_seconds", "the model", session.model_max_duration_seconds),
        ("max_duration_seconds", "the provider's declared end", declared),
        ("max_interactions", "the model", session.model_max_interactions),
    )
    for name, owner, limit in limits:
        wanted = getattr(request, name)
        if wanted is not None and limit is not None and wanted > limit:
            message = f"{name}: {wanted} is beyond {owner}, which allows {limit}"
            raise Refusal(ErrorCode.LIMIT_EXCEEDED, message, field=name, limit=limit)
