"""Create a session: make every check, write its row, and start it at once unless the caller asked not to."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.client.parsing import digest
from orchestrator.client.requests import CreateSession
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import admission, archived
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import begin
from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from orchestrator.rules.text import generate_name
from orchestrator.rules.values import Model, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.queries.newcomers import NewSessionFacts
from orchestrator.store.transaction import Transaction


def create_session(services: Services, tx: Transaction, request: CreateSession) -> Mapping[str, Any]:
    """Create a session and return it. A session that has this id and the same content is returned as it is now."""
    session_id = request.session_id or tx.identity.new_id()
    work, facts = _begin(services, tx, request, session_id)
    known = _known(tx, request, session_id, work.now) if facts.same_id else None
    if known is not None:
        work.finish()
        return known
    model = lookup.known_model(facts.model, request.model_id)
    session = _new(work, request, model, session_id)
    admission.check_model(work, session, model)
    admission.check_attach(work, session)
    _check_provider(services, model, request)
    session = _named(tx, request, session, facts.namesake)
    admission.check_nodes(work, session, model)
    session = admission.counted(work, session)
    saved = admission.enter(work, None, session, model) if request.start else tx.sessions.insert(session)
    work.finish()
    return views.of_session(tx, saved, work.now, work.placements.get(saved.id, ()))


def _begin(
    services: Services, tx: Transaction, request: CreateSession, session_id: str
) -> tuple[AccountWork, NewSessionFacts]:
    """Lock the account, and read everything that the new session depends on there, its due stops included."""
    account, now = lookup.locked_account(services, tx, request.account_id)
    debts = services.config.cleanup_debts()
    name = _name_of(request, session_id, now)
    facts = tx.newcomers.read(
        account.id, now, debts, session_id=session_id, name=name, model_id=request.model_id
    )
    return begin(services, tx, account, now, facts.standing, facts), facts


def _name_of(request: CreateSession, session_id: str, now: datetime) -> str:
    return request.name or generate_name(now, session_id)


def _known(
    tx: Transaction, request: CreateSession, session_id: str, now: datetime
) -> Mapping[str, Any] | None:
    """Return the session that already has this id, live or archived. Raises Refusal if its content differs."""
    known = tx.sessions.get(session_id)
    left = tx.archive.get(session_id) if known is None else None
    if known is not None and known.request_digest == digest(request):
        return views.of_session(tx, known, now)
    if left is not None and left.request_digest == digest(request):
        return archived.view(left, now)
    if known is None and left is None:
        return None
    message = f"session {session_id} exists with other content: choose another session_id"
    raise Refusal(ErrorCode.CONFLICT, message, session_id=session_id)


def _check_provider(services: Services, model: Model, request: CreateSession) -> None:
    if request.provider is not None and request.provider not in model.providers:
        message = (
            f"provider: {request.provider} does not serve model {model.id}; {', '.join(model.providers)} do"
        )
        raise _invalid("provider", message)
    _check_credential(services, model, request)
    _check_attach(services, model, request)


def _check_credential(services: Services, model: Model, request: CreateSession) -> None:
    if request.credential is None:
        return
    wanted = [request.provider] if request.provider else model.providers
    configured = (services.config.providers.get(provider) for provider in wanted)
    if not any(one is not None and request.credential in one.credentials for one in configured):
        raise _invalid(
            "credential", "credential: no provider of this model is configured with that reference"
        )


def _check_attach(services: Services, model: Model, request: CreateSession) -> None:
    """Refuse an attached endpoint if no driver attaches."""
    wanted = [request.provider] if request.provider else model.providers
    cards = [card for card in map(services.card, wanted) if card is not None]
    if request.attach is None:
        if cards and all(card.lifecycle.attaches for card in cards):
            raise _invalid(
                "attach", "attach is missing: this model's provider serves only endpoints that a job names"
            )
        return
    if not any(card.lifecycle.attaches for card in cards):
        raise _invalid("attach", "attach: no configured provider of this model attaches to endpoints")


def _new(work: AccountWork, request: CreateSession, model: Model, session_id: str) -> Session:
    plan = work.terms.plan
    options = request.provider_options.model_dump(exclude_none=True)
    return Session(
        id=session_id,
        account_id=work.account.id,
        model_id=model.id,
        name=_name_of(request, session_id, work.now),
        description=request.description or "",
        nodes=request.nodes,
        state=State.CREATED,
        max_duration_seconds=request.stop.max_duration_seconds,
        max_interactions=request.stop.max_interactions,
        idle_seconds=request.stop.idle_seconds,
        max_cost=request.stop.max_cost,
        failover=request.failover,
        on_quota=request.on_quota,
        provider_options=options,
        pinned_provider=request.provider,
        pinned_credential=request.credential,
        attach=request.attach.as_attach() if request.attach else None,
        metadata=request.metadata,
        request_digest=digest(request),
        model_max_duration_seconds=model.max_duration_seconds,
        model_max_interactions=model.max_interactions,
        plan_max_duration_seconds=plan.max_duration_seconds,
        price_per_node_hour=model.price_per_node_hour,
        currency=model.currency,
        block_seconds=plan.billing_block_seconds,
        created_at=work.now,
    )


def _named(tx: Transaction, request: CreateSession, session: Session, namesake: str | None) -> Session:
    """Refuse a name that the caller chose and `namesake` has. Replace a generated name that is taken by one from a
    digest of the whole id, since ids that callers choose may end alike."""
    if namesake is not None and request.name is None:
        name = generate_name(session.created_at, hashlib.sha256(session.id.encode()).hexdigest())
        session = replace(session, name=name)
        namesake = tx.sessions.by_name(session.account_id, name) or tx.archive.by_name(
            session.account_id, name
        )
    if namesake is None:
        return session
    message = f"name {session.name!r} is taken by session {namesake}: choose another, or delete that session"
    raise Refusal(ErrorCode.NAME_TAKEN, message, name=session.name, session_id=namesake)


def _invalid(loc: str, message: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, message, faults=[{"loc": loc, "msg": message, "type": "value"}])
