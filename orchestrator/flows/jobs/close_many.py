"""Which sessions a close of many hits, what they cost, and the task id under which each is closed once."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.client.close_many import CloseMany
from orchestrator.flows.reports import views
from orchestrator.rules.billing import money
from orchestrator.rules.close_plans import ClosePlan
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import Session
from orchestrator.rules.where import Where, parse_where
from orchestrator.store.queries.pages import SessionFilter
from orchestrator.store.transaction import Transaction

#: The job that closes each of them.
CLOSE = "orchestrator.session.close"
#: The most sessions of one plan: its execution takes a few seconds.
MOST = 1_000
#: Sessions and accounts that a dry run shows.
SAMPLE, MOST_ACCOUNTS = 10, 50
#: What can be closed: other sessions have ended, or are being closed.
_CLOSABLE = tuple(state for state in State if state not in TERMINAL | {State.STOPPING})


def chosen(tx: Transaction, request: CloseMany, at: datetime) -> Sequence[Session]:
    """Return the sessions that the request is about; their ages are those as of `at`. Raises Refusal if there are
    more than a plan holds."""
    where = parse_where(request.where) if request.where is not None else Where()
    wanted = _filter_of(request, where)
    found: list[Session] = []
    behind = None
    while wanted is not None and len(found) <= MOST:
        page = tx.pages.sessions(wanted, MOST + 1, behind)
        found += (one for one in page.sessions if where.holds(one, at))
        behind = page.behind
        if behind is None:
            break
    if len(found) <= MOST:
        return found
    message = (
        f"more than {MOST} sessions fit: narrow it by account_id, model_id, provider, state, since or where"
    )
    raise Refusal(ErrorCode.LIMIT_EXCEEDED, message)


def planned(tx: Transaction, request: CloseMany) -> Mapping[str, Any]:
    """Return what an execution would hit, with the plan that it needs."""
    now = tx.now()
    sessions = chosen(tx, request, now)
    burns: defaultdict[str, Decimal] = defaultdict(Decimal)
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for session in sessions:
        burns[session.currency] += _burn(session)
        costs[session.currency] += money.cost_by(session, now)
    return {
        "count": len(sessions),
        "plan": str(ClosePlan.of(request.digest, [session.id for session in sessions], now)),
        "burn_per_hour": _shown(burns),
        "cost": _shown(costs),
        "accounts": sorted({session.account_id for session in sessions})[:MOST_ACCOUNTS],
        "sample": views.of_sessions(tx, sessions[:SAMPLE], now),
    }


def confirmed(tx: Transaction, request: CloseMany, plan: ClosePlan) -> Sequence[str]:
    """Return the ids of the sessions to close now, in order. Raises PlanChanged if others fit by now."""
    ids = sorted(session.id for session in chosen(tx, request, plan.at))
    plan.check(request.digest, ids, tx.now())
    return ids


def close_arguments(request: CloseMany, session_id: str) -> dict[str, Any]:
    """Return the keyword arguments of one session's close."""
    arguments = {"session_id": session_id, "reason": request.reason}
    return arguments if request.detail is None else {**arguments, "detail": request.detail}


def task_id_of(of: str, session_id: str) -> str:
    """Return the task id of one session's close. `of`: what is equal in every try of the whole."""
    return f"many-{hashlib.sha256(of.encode()).hexdigest()[:24]}-{session_id}"


def _filter_of(request: CloseMany, where: Where) -> SessionFilter | None:
    """Return the filter of the query: what an index or the query itself can look for; None if nothing can fit."""
    unproven = where.is_unproven is True
    possible = (State.STOPPING,) if unproven else _CLOSABLE
    exact = where.exactly("state")
    states = tuple(one for one in possible if one in (request.state or possible) and exact in (None, one))
    both = (
        (request.account_id, where.exactly("account")),
        (request.provider, where.exactly("provider")),
        (request.model_id, where.exactly("model")),
    )
    if not states or any(None not in pair and pair[0] != pair[1] for pair in both):
        return None
    account_id, provider, model_id = (one or other for one, other in both)
    return SessionFilter(
        states=states,
        account_id=account_id,
        provider=provider,
        model_id=model_id,
        name=where.exactly("name"),
        unproven=unproven,
        since=request.since,
    )


def _burn(session: Session) -> Decimal:
    runs = session.state is State.RUNNING
    return session.price_per_node_hour * session.nodes if runs else Decimal(0)


def _shown(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: views.as_text(amount) for currency, amount in sorted(amounts.items())}
