"""Sessions, accounts and models as other services read them: the contract's names, plain JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from orchestrator.rules.billing import money
from orchestrator.rules.events import rfc3339
from orchestrator.rules.states import UNENDED, PlacementState, State, StopReason
from orchestrator.rules.values import Account, Model, Placement, Session
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.queries.ledger import Entry
from orchestrator.store.transaction import Transaction

#: The contract's names of a session's fields, in their order.
SESSION_KEYS = (
    "id",
    "account_id",
    "name",
    "description",
    "model_id",
    "nodes",
    "state",
    "stop_reason",
    "stop_detail",
    "created_at",
    "running_at",
    "stop_at",
    "stop_at_reason",
    "ended_at",
    "interactions",
    "cost",
    "currency",
    "price_per_node_hour",
    "provider",
    "placement",
    "endpoint",
    "failover",
    "queue_position",
    "queue_reason",
    "next_step",
    "next_step_at",
    "last_ping",
    "busy_since",
    "unproven_since",
    "money_at_risk",
    "forced_closes",
    "metadata",
    "deleted_at",
    "archived_at",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionView:
    """A session with its related rows."""

    session: Session
    placements: Sequence[Placement]
    account: Account | None
    """None if the end of its funds is not asked for."""
    queue_position: int | None
    now: datetime

    def as_json(self) -> dict[str, Any]:
        """Return the session in the contract's shape."""
        session = self.session
        stop_at, reason = self._stop()
        return {
            "id": session.id,
            "account_id": session.account_id,
            "name": session.name,
            "description": session.description,
            "model_id": session.model_id,
            "nodes": session.nodes,
            "state": session.state.value,
            "stop_reason": session.stop_reason.value if session.stop_reason else None,
            "stop_detail": session.stop_detail,
            "created_at": rfc3339(session.created_at),
            "running_at": rfc3339(session.running_at),
            "stop_at": rfc3339(stop_at),
            "stop_at_reason": reason.value if reason else None,
            "ended_at": rfc3339(session.ended_at),
            "interactions": session.interactions,
            "cost": as_text(self._cost()),
            "currency": session.currency,
            "price_per_node_hour": as_text(session.price_per_node_hour),
            "provider": session.provider,
            "placement": self._placement(),
            "endpoint": self._endpoint(),
            "failover": session.failover,
            "queue_position": self.queue_position,
            "queue_reason": session.queue_reason,
            "next_step": session.due.step.value if session.due else None,
            "next_step_at": rfc3339(session.due.at if session.due else None),
            "last_ping": self._last_ping(),
            "busy_since": rfc3339(session.busy_since),
            "unproven_since": rfc3339(self._unproven_since()),
            "money_at_risk": as_text(self._money_at_risk()),
            "forced_closes": self._forced_closes(),
            "metadata": dict(session.metadata),
            "deleted_at": rfc3339(session.deleted_at),
            "archived_at": None,
        }

    def _stop(self) -> tuple[datetime | None, StopReason | None]:
        """Return the session's own deadline, or the end of the account's funds if that is earlier."""
        return stop_of(self.session, self.account)

    def _cost(self) -> Decimal:
        return cost_of(self.session, self._stop()[0], self.now)

    def _placement(self) -> dict[str, Any] | None:
        if not self.placements:
            return None
        newest = self.placements[-1]
        return {
            "n": newest.n,
            "provider": newest.provider,
            "credential": newest.credential,
            "handle": newest.handle,
            "opened_at": rfc3339(newest.opened_at),
            "state": newest.state.value,
        }

    def _endpoint(self) -> dict[str, Any] | None:
        serving = [placement for placement in self.placements if placement.state is PlacementState.OPEN]
        if self.session.state is not State.RUNNING or not serving:
            return None
        placement = serving[-1]
        return {
            "url": placement.endpoint_url,
            "model": placement.endpoint_model,
            "auth": placement.endpoint_auth,
            "secret_ref": placement.secret_ref,
        }

    def _last_ping(self) -> dict[str, Any] | None:
        session = self.session
        if session.last_ping_at is None or session.last_verdict is None:
            return None
        return {
            "at": rfc3339(session.last_ping_at),
            "verdict": session.last_verdict.value,
            "latency_ms": session.last_latency_ms,
            "detail": session.last_ping_detail,
        }

    def _unproven(self) -> list[Placement]:
        return [p for p in self.placements if p.state in UNENDED and p.unproven_since is not None]

    def _unproven_since(self) -> datetime | None:
        since = (placement.unproven_since for placement in self._unproven())
        return min((at for at in since if at is not None), default=None)

    def _forced_closes(self) -> list[dict[str, Any]]:
        """Return the closes that were forced without proof, with what they may have cost until then."""
        return [
            {
                "placement_id": placement.id,
                **close,
                "money_at_risk": as_text(at_risk(placement, self.now)),
            }
            for placement in self.placements
            if (close := forced(placement)) is not None
        ]

    def _money_at_risk(self) -> Decimal:
        return sum((at_risk(placement, self.now) for placement in self._unproven()), Decimal(0))


def stop_of(session: Session, account: Account | None) -> tuple[datetime | None, StopReason | None]:
    """Return the session's own deadline, or the end of the account's funds if that stops it first."""
    mine = session.ends_at, session.stop_at_reason
    if account is None or account.funds_session_id != session.id or session.state is not State.RUNNING:
        return mine
    if account.funds_end_at is None or (
        session.ends_at is not None and session.ends_at <= account.funds_end_at
    ):
        return mine
    return account.funds_end_at, money.end_reason(account.funds_end_by)


def cost_of(session: Session, stop_at: datetime | None, now: datetime) -> Decimal:
    """Return what the session costs by now. A stop that is due ends the cost, decided or not."""
    if session.state is State.RUNNING and stop_at is not None and stop_at <= now:
        return money.cost_if_stopped_at(session, stop_at)
    return money.cost_by(session, now)


def at_risk(placement: Placement, now: datetime) -> Decimal:
    """Return what an unproven close may have cost the platform so far; for a forced close, until it was forced."""
    since = placement.closing_since or placement.created_at
    until = placement.forced_at or now
    return money.money_at_risk(placement.price_per_node_hour, placement.nodes, since, until)


def orphans_at_risk(placement: Placement, now: datetime) -> Decimal:
    """Return what sessions left by the placement's open may have cost so far, at most for the time that was asked
    for."""
    since = placement.sent_at or placement.created_at
    until = min(now, since + timedelta(seconds=placement.duration_seconds))
    each = money.money_at_risk(placement.price_per_node_hour, placement.nodes, since, until)
    return orphans_of(placement) * each


def orphans_of(placement: Placement) -> int:
    """Return how many sessions the placement's open may have left; one if that is not known."""
    if not placement.possible_orphans:
        return 0
    return 1 if placement.orphans_at_most is None else placement.orphans_at_most


def forced(placement: Placement) -> dict[str, Any] | None:
    """Return who ended the placement without the provider's proof, why and when; None if it was not forced."""
    if placement.forced_at is None:
        return None
    return {"at": rfc3339(placement.forced_at), "by": placement.forced_by, "why": placement.forced_why}


def as_text(amount: Decimal) -> str:
    """Return money as it leaves, rounded to a millionth."""
    return money_text(amount.quantize(money.MICRO))


def of_session(
    tx: Transaction, session: Session, now: datetime, placements: Sequence[Placement] | None = None
) -> dict[str, Any]:
    """Return one session with its related data. `placements`: all of the session's; None: they are read."""
    account = tx.accounts.get(session.account_id) if session.state is State.RUNNING else None
    return _view(tx, session, account, now, placements)


def of_sessions(tx: Transaction, sessions: Sequence[Session], now: datetime) -> list[dict[str, Any]]:
    """Return several sessions; read each account once, and all placements in one statement."""
    accounts: dict[str, Account | None] = {}
    placements = tx.placements.of_sessions([session.id for session in sessions])
    views = []
    for session in sessions:
        if session.account_id not in accounts and session.state is State.RUNNING:
            accounts[session.account_id] = tx.accounts.get(session.account_id)
        account = accounts.get(session.account_id)
        views.append(_view(tx, session, account, now, placements.get(session.id, ())))
    return views


def _view(
    tx: Transaction,
    session: Session,
    account: Account | None,
    now: datetime,
    placements: Sequence[Placement] | None = None,
) -> dict[str, Any]:
    view = SessionView(
        session=session,
        placements=tx.placements.of_session(session.id) if placements is None else placements,
        account=account,
        queue_position=tx.queues.position(session) if session.state is State.QUEUED else None,
        now=now,
    )
    return view.as_json()


def of_account(account: Account) -> dict[str, Any]:
    """Return an account, with the ledger's balance."""
    return {
        "id": account.id,
        "plan": account.plan,
        "currency": account.currency,
        "balance": as_text(account.balance),
        "own_quota": {name: "unlimited" if limit is None else limit for name, limit in account.quota.items()},
        "overdraft_limit": None if account.overdraft_limit is None else as_text(account.overdraft_limit),
        "funds_end_at": rfc3339(account.funds_end_at),
        "funds_end_by": ends_by(account),
        "created_at": rfc3339(account.created_at),
    }


def ends_by(account: Account) -> str | None:
    """Return what ends the account's funds: "balance", or the period of the budget; None if they do not end."""
    if account.funds_end_at is None:
        return None
    return "balance" if account.funds_end_by is None else account.funds_end_by.value


def of_model(model: Model) -> dict[str, Any]:
    """Return a model, with the fields of `[[models]]`."""
    return {
        "id": model.id,
        "providers": list(model.providers),
        "provider_model_ids": dict(model.provider_model_ids),
        "type": model.type.value,
        "size": model.size,
        "learning_stage": model.learning_stage,
        "source": model.source.value,
        "owner": model.owner,
        "files_uploaded": model.files_uploaded,
        "tags": list(model.tags),
        "price_per_node_hour": as_text(model.price_per_node_hour),
        "currency": model.currency,
        "max_duration_seconds": model.max_duration_seconds,
        "max_interactions": model.max_interactions,
    }


def of_entry(entry: Entry) -> dict[str, Any]:
    """Return one ledger entry."""
    return {
        "key": entry.key,
        "at": rfc3339(entry.at),
        "kind": entry.kind,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount": as_text(entry.amount),
        "currency": entry.currency,
        "session_id": entry.session_id,
        "note": entry.note,
    }
