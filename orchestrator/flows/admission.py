"""May this session start now? One short transaction under the account's lock: count, check, take, write."""

from dataclasses import replace
from datetime import timedelta

from orchestrator.flows import placing
from orchestrator.flows.account_work import AccountWork
from orchestrator.flows.services import Services
from orchestrator.rules import eligibility, money, quota
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from orchestrator.rules.values import Model, OnQuota, Session

#: What a session may wait for, when its caller chose to. Total and nodes are never waited for.
WORTH_WAITING = frozenset(
    {ErrorCode.QUOTA_CONCURRENT_EXCEEDED, ErrorCode.INSUFFICIENT_BALANCE, ErrorCode.NO_CAPACITY}
)


def check_nodes(work: AccountWork, session: Session, model: Model) -> None:
    """Refuse more nodes than the plan, or than every provider of the model, allows."""
    plan = work.services.plan(work.account.plan)
    cards = [work.services.card(provider) for provider in model.providers]
    limits = [card.max_nodes for card in cards if card is not None]
    largest = None if not limits or None in limits else max(limit for limit in limits if limit is not None)
    _raise_if(quota.check_nodes(plan, largest, session.nodes))


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


def check_total(work: AccountWork) -> None:
    """Refuse one session more than the plan keeps."""
    plan = work.services.plan(work.account.plan)
    _raise_if(quota.check_total(plan, _usage(work)))


def enter(work: AccountWork, before: Session | None, session: Session, model: Model) -> Session:
    """Start `session`, or let it wait where its caller chose that. Raises Refusal, having written nothing."""
    try:
        return start(work, before, session, model, newcomer=True)
    except Refusal as refusal:
        if session.on_quota is OnQuota.REJECT or refusal.code not in WORTH_WAITING:
            raise
        return _write(work, before, _queued(work, session, refusal))


def start(
    work: AccountWork, before: Session | None, session: Session, model: Model, *, newcomer: bool
) -> Session:
    """Start `session` now: state STARTING, its first placement written. Raises Refusal, having written nothing."""
    check_model(work, session, model)
    _check(work, session, newcomer=newcomer)
    overtakes = newcomer and _is_waited_for(work, session, model)
    place = None if overtakes else placing.take_place(work.services, work.tx, session, model, work.now)
    if place is None:
        raise Refusal(
            ErrorCode.NO_CAPACITY,
            f"no provider of model {model.id} has a free credential now: try again later, or queue",
            model_id=model.id,
            providers=list(placing.providers_for(work.services, session, model)),
        )
    starting = placing.starting_at(session, place, work.now)
    saved = _write(work, before, work.planned(starting))
    placing.begin_placement(work.services, work.tx, saved, model, place, work.now)
    work.account = replace(work.account, last_admitted_at=work.now)
    return saved


def _check(work: AccountWork, session: Session, *, newcomer: bool) -> None:
    plan = work.services.plan(work.account.plan)
    _raise_if(quota.check_concurrent(plan, _usage(work), newcomer=newcomer))
    active = [other for other in work.active.values() if other.id != session.id]
    missing = money.funded(work.account.balance, active, session, work.now, plan.min_funded_seconds)
    if missing is not None:
        raise Refusal(
            ErrorCode.INSUFFICIENT_BALANCE,
            f"the balance cannot pay the first {plan.min_funded_seconds} s together with what runs already:"
            f" {missing} {work.account.currency} are missing; credit the account",
            balance=str(work.account.balance),
            missing=str(missing),
            currency=work.account.currency,
        )


def _is_waited_for(work: AccountWork, session: Session, model: Model) -> bool:
    """Whether somebody in the account's queue waits for a provider that a newcomer would take."""
    cards = {name: work.services.card(name) for name in placing.providers_for(work.services, session, model)}
    places = {name: card.max_nodes for name, card in cards.items() if card is not None}
    return work.tx.queues.is_waited_for(session, places)


def _usage(work: AccountWork) -> quota.Usage:
    return work.tx.sessions.usage(work.account.id, work.now, debts(work.services))


def debts(services: Services) -> dict[str | None, float]:
    """After how many seconds an unproven close is our debt, at each provider; None: everywhere else."""
    everywhere: dict[str | None, float] = {None: services.policy(None).cleanup_debt_after_seconds}
    return everywhere | {name: services.policy(name).cleanup_debt_after_seconds for name in services.drivers}


def _queued(work: AccountWork, session: Session, refusal: Refusal) -> Session:
    plan = work.services.plan(work.account.plan)
    queued = replace(
        session,
        state=State.QUEUED,
        queued_at=work.now,
        queue_deadline_at=work.now + timedelta(seconds=plan.queue_timeout_seconds),
        queue_reason=refusal.code.value,
    )
    return work.planned(queued)


def _write(work: AccountWork, before: Session | None, session: Session) -> Session:
    if before is not None:
        return work.keep(before, session)
    saved = work.tx.sessions.insert(session)
    work.remember(saved)
    return saved


def _raise_if(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refusal
