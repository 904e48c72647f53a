"""One account as people read it: how much of its quota is used, and how long its money lasts."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.flows.reports import views
from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.billing import money
from orchestrator.rules.billing.meters import TICK, Metered
from orchestrator.rules.events import rfc3339
from orchestrator.rules.states import ACTIVE, CONCURRENT, LIVE, State
from orchestrator.rules.values import ZERO, Account, Session
from orchestrator.settings import Configuration
from orchestrator.store.queries.ledger import Line
from orchestrator.store.queries.sessions import BriefSession
from orchestrator.store.transaction import Transaction

#: At most this many live sessions are listed, the others counted; of ended ones, only the newest.
MOST_LISTED, MOST_AT_REST = 10_000, 100


def with_quota(tx: Transaction, config: Configuration, account: Account, now: datetime) -> dict[str, Any]:
    """Return the account with its quota, how much of it is used, and by which sessions."""
    sessions = _shown(tx, account)
    debts = config.cleanup_debts()
    in_debt = tx.sessions.in_cleanup_debt(account.id, now, debts)
    usage = tx.sessions.usage(account.id, now, debts)
    unposted = _unposted(account, tx.sessions.metered(account.id), now)
    return views.of_account(account) | {
        "overdraft_allowed": views.as_text(config.terms_of(account).plan.overdraft_limit),
        "not_yet_charged": views.as_text(unposted),
        "quota": _quota(config, account, usage, sessions, in_debt),
        "sessions": [_listed(one, in_debt) for one in sessions],
    }


def forecast(
    tx: Transaction, config: Configuration, account: Account, now: datetime, most: int = MOST_LISTED
) -> dict[str, Any]:
    """Return what the account burns, when its funds end, and each session's part in that: of the newest `most`."""
    plan = config.terms_of(account).plan
    burning = tx.sessions.metered(account.id)
    unposted = _unposted(account, burning, now)
    end = account.funds_end_at
    sessions = tx.sessions.listed(account_id=account.id, states=ACTIVE, limit=most)
    return {
        "id": account.id,
        "currency": account.currency,
        "balance": views.as_text(account.balance),
        "not_yet_charged": views.as_text(unposted),
        "overdraft_allowed": views.as_text(plan.overdraft_limit),
        "available": views.as_text(account.balance - unposted + plan.overdraft_limit),
        "burn_per_hour": views.as_text(money.burn_per_hour(burning)),
        "funds_end_at": rfc3339(end),
        "funds_end_by": views.ends_by(account),
        "funds_end_session_id": account.funds_session_id,
        "seconds_left": None if end is None else max(0, int((end - now).total_seconds())),
        "next_charge_at": rfc3339(account.next_charge_at),
        "sessions": [_forecast_of(one, account, now) for one in sessions],
    }


def ledger_line(line: Line, balance: Decimal | None) -> dict[str, Any]:
    """Return one entry, with the account's balance after it, where that is known."""
    shown = None if balance is None else views.as_text(balance)
    return {"id": line.id} | views.of_entry(line) | {"balance": shown}


def _shown(tx: Transaction, account: Account) -> list[BriefSession]:
    """Return the live sessions and the newest of the ended ones, newest first."""
    live = tx.sessions.in_brief(account.id, LIVE, MOST_LISTED)
    rest = tx.sessions.in_brief(account.id, set(State) - LIVE, MOST_AT_REST)
    return sorted((*live, *rest), key=lambda one: one.created_at, reverse=True)


def _unposted(account: Account, burning: Sequence[Metered], now: datetime) -> Decimal:
    """Return what has been used and is not in the ledger yet, at most what the funds pay: later use is stopped."""
    at = min(now, account.funds_end_at - TICK) if account.funds_end_at is not None else now
    return sum((money.uncharged(one, at) for one in burning), ZERO)


def _quota(
    config: Configuration,
    account: Account,
    usage: Usage,
    sessions: Sequence[BriefSession],
    in_debt: frozenset[str],
) -> dict[str, Any]:
    terms = config.terms_of(account)
    counted = [one for one in sessions if one.id not in in_debt]
    concurrent = [one for one in counted if one.state in CONCURRENT]

    def row(name: str, used: int, by: Sequence[BriefSession]) -> dict[str, Any]:
        allowed = getattr(terms.plan, name)
        own = name in terms.own
        return {"used": used, "allowed": allowed, "own": own, "sessions": [one.id for one in by]}

    largest = max((one.nodes for one in concurrent), default=0)
    widest = [one for one in concurrent if one.nodes == largest]
    return {
        "sessions": row("max_sessions", usage.total, counted),
        "concurrent": row("max_concurrent", usage.concurrent, concurrent),
        "nodes_per_session": row("max_nodes", largest, widest),
        "nodes_total": row("max_nodes_total", usage.nodes, concurrent),
        "cleanup_debt": {"used": usage.debt, "sessions": sorted(in_debt)},
    }


def _listed(session: BriefSession, in_debt: frozenset[str]) -> dict[str, Any]:
    return {
        "id": session.id,
        "name": session.name,
        "state": session.state.value,
        "model_id": session.model_id,
        "nodes": session.nodes,
        "cleanup_debt": session.id in in_debt,
    }


def _forecast_of(session: Session, account: Account, now: datetime) -> dict[str, Any]:
    stop_at, reason = views.stop_of(session, account)
    return {
        "id": session.id,
        "name": session.name,
        "state": session.state.value,
        "nodes": session.nodes,
        "price_per_node_hour": views.as_text(session.price_per_node_hour),
        "block_seconds": session.block_seconds,
        "cost_per_hour": views.as_text(session.price_per_node_hour * session.nodes),
        "charged": views.as_text(session.charged),
        "cost": views.as_text(views.cost_of(session, stop_at, now)),
        "next_block_at": rfc3339(money.next_block_at(session, now)),
        "stop_at": rfc3339(stop_at),
        "stop_at_reason": reason.value if reason else None,
    }
