"""Create a session: every check, then its row; started at once unless the caller said otherwise."""

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
from orchestrator.flows.reports import views
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.sessions import names
from orchestrator.rules.states import State
from orchestrator.rules.values import Model, Session
from orchestrator.store.transaction import Transaction


def create_session(services: Services, tx: Transaction, request: CreateSession) -> Mapping[str, Any]:
    """Create the session and return it; for a known session id with the same content, return that one as it is now."""
    work = lookup.account(services, tx, request.account_id)
    known = _known(tx, request, work.now)
    if known is not None:
        work.finish()
        return known
    model = lookup.model(tx, request.model_id)
    session = _new(work, request, model)
    admission.check_model(work, session, model)
    admission.check_attach(work, session)
    _check_provider(services, model, request)
    _check_name(tx, session)
    admission.check_nodes(work, session, model)
    session = admission.counted(work, session)
    saved = admission.enter(work, None, session, model) if request.start else tx.sessions.insert(session)
    work.finish()
    return views.of_session(tx, saved, work.now)


def _known(tx: Transaction, request: CreateSession, now: datetime) -> Mapping[str, Any] | None:
    """Return what is there under this id, in the live tables or in the archive."""
    if request.session_id is None:
        return None
    known = tx.sessions.get(request.session_id)
    left = tx.archive.get(request.session_id) if known is None else None
    if known is not None and known.request_digest == digest(request):
        return views.of_session(tx, known, now)
    if left is not None and left.request_digest == digest(request):
        return archived.view(left, now)
    if known is None and left is None:
        return None
    message = f"session {request.session_id} exists with other content: choose another session_id"
    raise Refusal(ErrorCode.CONFLICT, message, session_id=request.session_id)


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
    """Refuse an attached endpoint without a driver that attaches."""
    wanted = [request.provider] if request.provider else model.providers
    cards = [card for card in map(services.card, wanted) if card is not None]
    if request.attach is None:
        if cards and all(card.attaches for card in cards):
            raise _invalid("attach", "attach: this model's provider serves only endpoints that a job names")
        return
    if not any(card.attaches for card in cards):
        raise _invalid("attach", "attach: no configured provider of this model attaches to endpoints")


def _new(work: AccountWork, request: CreateSession, model: Model) -> Session:
    plan = work.terms.plan
    session_id = request.session_id or work.tx.identity.new_id()
    options = request.provider_options.model_dump(exclude_none=True)
    return Session(
        id=session_id,
        account_id=work.account.id,
        model_id=model.id,
        name=request.name or _free_name(work, session_id),
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


def _free_name(work: AccountWork, session_id: str) -> str:
    """Return a free name. Ids that callers choose may end alike: then the name ends in a digest of the whole id."""
    name = names.generate(work.now, session_id)
    if _named(work.tx, work.account.id, name) is None:
        return name
    return names.generate(work.now, hashlib.sha256(session_id.encode()).hexdigest())


def _check_name(tx: Transaction, session: Session) -> None:
    other = _named(tx, session.account_id, session.name)
    if other is not None:
        message = f"name {session.name!r} is taken by session {other}: choose another, or delete that session"
        raise Refusal(ErrorCode.NAME_TAKEN, message, name=session.name, session_id=other)


def _named(tx: Transaction, account_id: str, name: str) -> str | None:
    """Return the id of the session that has this name, archived or not, among the not deleted."""
    return tx.sessions.by_name(account_id, name) or tx.archive.by_name(account_id, name)


def _invalid(loc: str, message: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, message, faults=[{"loc": loc, "msg": message, "type": "value"}])
