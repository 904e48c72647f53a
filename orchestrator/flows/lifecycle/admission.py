"""Admit a session, or refuse it, in one short transaction under the account's lock: count, check, take, write."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from orchestrator.flows.lifecycle import places, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.rules.admission import eligibility, quota
from orchestrator.rules.billing import budgets, money
from orchestrator.rules.installation.secret_texts import is_reference
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from orchestrator.rules.values import BudgetPeriod, Model, Session
from orchestrator.rules.values.amounts import ZERO, money_text
from orchestrator.rules.values.copies import replace


def check_nodes(work: AccountWork, session: Session, model: Model) -> None:
    """Refuse more nodes than the account may have, or than any provider of the model has."""
    cards = [work.services.card(provider) for provider in model.providers]
    limits = [card.lifecycle.max_nodes for card in cards if card is not None]
    largest = None if not limits or None in limits else max(limit for limit in limits if limit is not None)
    _raise_if(quota.check_nodes(work.terms, largest, session.nodes))


def check_model(work: AccountWork, session: Session, model: Model) -> None:
    """Refuse a model that the account may not use, or cannot pay in its currency: at creation and at each start."""
    tags = work.services.config.catalog_required_tags
    reasons = eligibility.ineligible_because(model, work.account.id, tags)
    if reasons:
        message = f"model {model.id} cannot be used here: {'; '.join(reasons)}"
        raise Refusal(ErrorCode.MODEL_NOT_ELIGIBLE, message, model_id=model.id, reasons=reasons)
    if session.currency != work.account.currency:
        message = (
            f"model {model.id} is priced in {session.currency}, account {work.account.id} pays in"
            f" {work.account.currency}"
        )
        currencies = {"model_currency": session.currency, "account_currency": work.account.currency}
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, message, **currencies)


def check_attach(work: AccountWork, session: Session) -> None:
    """Refuse a secret that `[attach] allowed` does not let jobs send to this endpoint: at creation and at each
    start."""
    attach = session.attach
    if attach is None or work.services.config.attach_permits(attach.secret_ref, attach.endpoint_url):
        return
    ref = (
        attach.secret_ref if is_reference(attach.secret_ref) else "what is named"
    )  # it may be a secret itself
    host = urlsplit(attach.endpoint_url).hostname
    message = (
        f"attach: {ref} may not be sent to {host}: no rule of [attach] allowed names both, or it is a provider's own "
        "credential, which is never sent; an operator can add a rule with this reference and this host"
    )
    fault = {"loc": "attach.secret_ref", "msg": message, "type": "value"}
    raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[fault])


def counted(work: AccountWork, session: Session) -> Session:
    """Refuse the session if the account keeps as many as it may; return it with the limit that it was counted
    against."""
    usage = work.usage()
    _raise_if(quota.check_total(work.terms, usage))
    return replace(session, admitted_under=quota.counted_at_creation(work.terms.plan, usage))


def enter(work: AccountWork, before: Session | None, session: Session, model: Model) -> Session:
    """Start `session`, or queue it where its caller chose that. Raises Refusal before it has written anything."""
    try:
        return start(work, before, session, model, newcomer=True)
    except Refusal as refusal:
        if not quota.is_queued(refusal.code, session.on_quota):
            raise
        return _write(work, before, _queued(work, session, model, refusal))


def start(
    work: AccountWork, before: Session | None, session: Session, model: Model, *, newcomer: bool
) -> Session:
    """Start `session` now: state STARTING, its price fixed, its first placement written. Raises Refusal before it has
    written anything."""
    ahead_of = None if newcomer else session
    session = allowed(work, session, model, ahead_of)
    others = _waited_for(work, session, model, ahead_of)
    place = places.take_place(work, session, model, work.now, others)
    if place is None:
        raise Refusal(
            ErrorCode.NO_CAPACITY,
            f"no provider of model {model.id} has a free credential now: try again later, or queue",
            model_id=model.id,
            providers=list(places.providers_for(work.services, session, model)),
        )
    under = quota.counted_at_admission(work.terms.plan, session.admitted_under)
    starting = transitions.starting_at(replace(session, admitted_under=under), place, work.now)
    saved = _write(work, before, work.planned(starting))
    placement = transitions.begin_placement(work.services, work.tx, saved, model, place, work.now)
    if placement.n == 1:
        work.placements[saved.id] = [placement]
    work.account = replace(work.account, last_admitted_at=work.now)
    return saved


def allowed(work: AccountWork, session: Session, model: Model, ahead_of: Session | None) -> Session:
    """Return the session with the price and limits of an admission now. Raises Refusal if its account or its model
    forbids the start; free places are not considered. `ahead_of`: the queued session itself; None for a new session."""
    session = _priced(work, session, model)
    check_model(work, session, model)
    check_attach(work, session)
    _check_max_cost(session)
    _check_quota(work, session, ahead_of)
    _check_funds(work, session)
    _raise_if(work.spending.refusal(work.account, session, work.now))
    return session


def waiting(work: AccountWork, session: Session, model: Model, refusal: Refusal) -> Session:
    """Return the session, queued for what `refusal` names. It is tried again at its deadline, or when time alone frees
    something."""
    reason = refusal.code.value
    waits = work.planned(replace(session, state=State.QUEUED, queue_reason=reason))
    look_at = _freed_by_time(work, session, model, refusal)
    if look_at is None or waits.due is None:
        return waits
    return replace(waits, due=replace(waits.due, at=min(waits.due.at, look_at)))


def _priced(work: AccountWork, session: Session, model: Model) -> Session:
    """Set price, block length and limits as model and plan have them at the admission."""
    plan = work.terms.plan
    return replace(
        session,
        price_per_node_hour=model.price_per_node_hour,
        currency=model.currency,
        block_seconds=plan.billing_block_seconds,
        model_max_duration_seconds=model.max_duration_seconds,
        model_max_interactions=model.max_interactions,
        plan_max_duration_seconds=plan.max_duration_seconds,
    )


def _check_max_cost(session: Session) -> None:
    """Refuse a first block that costs more than `max_cost`: a block is charged as it begins."""
    block = money.first_block_beyond(session)
    if block is not None:
        message = (
            f"stop.max_cost: {money_text(session.max_cost or ZERO)} {session.currency} does not pay the first block"
            f" of {session.block_seconds} s, which costs {money_text(block)}: allow more"
        )
        raise Refusal(ErrorCode.LIMIT_EXCEEDED, message, field="stop.max_cost", limit=money_text(block))


def _check_quota(work: AccountWork, session: Session, ahead_of: Session | None) -> None:
    usage = work.usage(ahead_of)
    _raise_if(quota.check_nodes_total(work.terms, usage, session.nodes))
    _raise_if(quota.check_concurrent(work.terms, usage))


def _check_funds(work: AccountWork, session: Session) -> None:
    plan = work.terms.plan
    balance, overdraft = work.account.balance, plan.overdraft_limit
    missing = work.burning.missing(balance, session, work.now, plan.min_funded_seconds, overdraft)
    if missing is not None:
        raise Refusal(
            ErrorCode.INSUFFICIENT_BALANCE,
            f"the balance cannot pay the first {plan.min_funded_seconds} s together with what runs already:"
            f" {money_text(missing)} {work.account.currency} are missing; credit the account",
            balance=money_text(balance),
            overdraft_limit=money_text(overdraft),
            missing=money_text(missing),
            currency=work.account.currency,
        )


def _waited_for(
    work: AccountWork, session: Session, model: Model, ahead_of: Session | None
) -> places.ProviderKeys:
    """Return the slots that earlier sessions in the account's queue wait for and can take. This session must leave them
    free."""
    if not work.has_queued_sessions:
        return frozenset()
    cards = {name: work.services.card(name) for name in places.providers_for(work.services, session, model)}
    largest = {name: card.lifecycle.max_nodes for name, card in cards.items() if card is not None}
    waiting = work.tx.queues.models_waiting(session, largest, ahead_of=ahead_of)
    return {
        key
        for provider, model_id in waiting
        for key in places.taken_by(work.services, work.tx, provider, model_id, work.now)
    }


def _freed_by_time(work: AccountWork, session: Session, model: Model, refusal: Refusal) -> datetime | None:
    """Return when a close becomes our debt, a key's cooldown ends, or the next period of a budget begins: these wake no
    session, for no commit happens then."""
    match refusal.code:
        case ErrorCode.NO_CAPACITY:
            providers = list(places.providers_for(work.services, session, model))
            return next(iter(places.freed_by_time(work.tx, session, providers, work.now)), None)
        case ErrorCode.QUOTA_CONCURRENT_EXCEEDED | ErrorCode.QUOTA_NODES_EXCEEDED:
            debts = work.services.config.cleanup_debts()
            return work.tx.placements.in_debt_at(work.account.id, work.now, debts)
        case ErrorCode.BUDGET_EXCEEDED:
            return budgets.ends_at(BudgetPeriod(refusal.details["period"]), work.now)
        case _:
            return None


def _queued(work: AccountWork, session: Session, model: Model, refusal: Refusal) -> Session:
    timeout = timedelta(seconds=work.terms.plan.queue_timeout_seconds)
    queued = replace(session, queued_at=work.now, queue_deadline_at=work.now + timeout)
    return waiting(work, queued, model, refusal)


def _write(work: AccountWork, before: Session | None, session: Session) -> Session:
    if before is not None:
        return work.keep(before, session)
    saved = work.tx.sessions.insert(session)
    work.remember(None, saved)
    return saved


def _raise_if(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refusal
