"""What a changed policy, plan or price would do to the sessions that live, and would have done in the last days.

Everything is read first, and judged by the rules when no transaction is open. Nothing is written."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from orchestrator.client.trial_resources import MOST_SESSIONS
from orchestrator.flows.reports.budgets import charged_of
from orchestrator.flows.reports.views import as_text
from orchestrator.rules.billing.hard_stops import FundsLimit, balance_limit, hard_stops, limits_of
from orchestrator.rules.events import PREFIX, rfc3339
from orchestrator.rules.states import ACTIVE, State
from orchestrator.rules.trial.admitted import refused_under
from orchestrator.rules.trial.compare import TrialEffect, TrialFinding, TrialFunds, TrialTime, compare
from orchestrator.rules.trial.history import WINDOW, PastEvent, SessionPast, traffic_before
from orchestrator.rules.trial.money_ends import funds_ends
from orchestrator.rules.trial.rulebook import Rulebook, begun_under, changes_quota
from orchestrator.rules.values import Account, Session, Verdict
from orchestrator.settings import Configuration
from orchestrator.store.queries.recent import RecentEvent
from orchestrator.store.transaction import Transaction

#: How far a trial looks back.
LOOKS_BACK = timedelta(days=7)
#: Events that a trial reads for each session that it may look at: the newest.
EVENTS_OF_EACH = 5
#: Findings that a report lists; all are counted.
MOST_LISTED = 1_000
_SESSION = f"{PREFIX}.session."
_OPEN = (State.QUEUED, State.STARTING, State.RUNNING)
_HERE = (*_OPEN, State.STOPPING, State.CREATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetFacts:
    """What a trial judges: sessions, their accounts, and what their events say."""

    at: datetime
    since: datetime
    sessions: Sequence[Session]
    accounts: Mapping[str, Account]
    events: Mapping[str, Sequence[PastEvent]]
    """Session id → its events, oldest first."""
    hard_stops: Mapping[str, Sequence[FundsLimit]] = field(default_factory=dict)
    """Account id → what its budgets with a hard stop leave in their periods of `at`."""
    events_since: datetime | None = None
    """Earlier events were not read: there are too many."""
    is_complete: bool = True
    """Whether every session was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Books:
    current: Rulebook
    changed: Rulebook
    funds: TrialFunds = field(default_factory=TrialFunds)


def facts_of(
    tx: Transaction, account_id: str | None = None, most_sessions: int = MOST_SESSIONS
) -> FleetFacts:
    """Return the sessions that live or have ended in the last days, newest first: of one account, or of all; of each
    state `most_sessions` at most."""
    now = tx.now()
    since = now - LOOKS_BACK
    living = tx.recent.living(_HERE, most_sessions, account_id)
    ended = tx.recent.ended(since, most_sessions, account_id)
    sessions = {one.id: one for one in (*living, *ended)}
    events, events_since = _events(tx, sessions.keys(), since, most_sessions * EVENTS_OF_EACH)
    accounts = tx.recent.accounts({one.account_id for one in sessions.values()})
    in_states = Counter(one.state for one in living)
    return FleetFacts(
        at=now,
        since=since,
        sessions=list(sessions.values()),
        accounts=accounts,
        events=events,
        hard_stops={name: _hard_stops(tx, account, now) for name, account in accounts.items()},
        events_since=events_since,
        is_complete=max([*in_states.values(), len(ended)], default=0) < most_sessions,
    )


def _hard_stops(tx: Transaction, account: Account, now: datetime) -> Sequence[FundsLimit]:
    stopping = hard_stops(account.budgets)
    charged = {one.period: charged_of(tx, account, one, now) for one in stopping}
    return limits_of(stopping, charged, now)


def trial(
    facts: FleetFacts, current: Configuration, changed: Configuration, prices: Mapping[str, Decimal]
) -> dict[str, Any]:
    """Return what the change would do. `prices`: model → price of a node-hour, where it changes."""
    books = _Books(
        current=Rulebook(policy_for=current.policy_for, terms_of=current.terms_of),
        changed=Rulebook(policy_for=changed.policy_for, terms_of=changed.terms_of, prices=prices),
    )
    found = sorted(_findings(facts, books), key=_in_order)
    counts = Counter((one.time, one.effect) for one in found)
    return {
        "at": rfc3339(facts.at),
        "since": rfc3339(facts.since),
        "sessions": len(facts.sessions),
        "complete": facts.is_complete and facts.events_since is None,
        "events_since": rfc3339(facts.events_since or facts.since),
        "counts": {
            time.value: {effect.value: counts[time, effect] for effect in TrialEffect} for time in TrialTime
        },
        "window_seconds": int(WINDOW.total_seconds()),
        "findings": [_as_json(one) for one in found[:MOST_LISTED]],
    }


def _findings(facts: FleetFacts, books: _Books) -> Iterator[TrialFinding]:
    of_account: defaultdict[str, list[Session]] = defaultdict(list)
    for session in facts.sessions:
        of_account[session.account_id].append(session)
    for account_id, sessions in of_account.items():
        yield from _of_account(facts, books, facts.accounts[account_id], sessions)


def _of_account(
    facts: FleetFacts, books: _Books, account: Account, sessions: Sequence[Session]
) -> Iterator[TrialFinding]:
    funds = _funds(facts, books, account, sessions)
    refused = set()
    for finding in _refused(facts, books, account, sessions):
        refused.add(finding.session.id)
        yield finding
    for session in sessions:
        past = _past(facts, session, account)
        found = compare(past, books.current, books.changed, funds, facts.at)
        if found is not None and (session.id not in refused or found.time is TrialTime.DEPLOYED):
            yield found


def _refused(
    facts: FleetFacts, books: _Books, account: Account, sessions: Sequence[Session]
) -> Iterator[TrialFinding]:
    old, new = (book.terms_of(account) for book in (books.current, books.changed))
    if not changes_quota(old, new):
        return
    for session, at, refusal in refused_under(sessions, old, new, facts.since):
        yield TrialFinding(
            session=session,
            effect=TrialEffect.REFUSES,
            time=TrialTime.HINDSIGHT,
            at=at,
            reason=refusal.code.value,
            detail=refusal.message,
            traffic=traffic_before(_past(facts, session, account), at, facts.at),
        )


def _funds(facts: FleetFacts, books: _Books, account: Account, sessions: Sequence[Session]) -> TrialFunds:
    """Return when the funds end; nothing where the change does not move that."""
    old, new = (book.terms_of(account).plan for book in (books.current, books.changed))
    active = [one for one in sessions if one.state in ACTIVE]
    begun = [begun_under(one, old, new, books.changed.prices.get(one.model_id)) for one in active]
    repriced = any(one is not other for one, other in zip(active, begun, strict=True))
    if not repriced and old.overdraft_limit == new.overdraft_limit:
        return TrialFunds()
    stopping = facts.hard_stops.get(account.id, ())
    was, will_be = ((*stopping, balance_limit(account, one.overdraft_limit)) for one in (old, new))
    return TrialFunds(
        now=funds_ends(was, active, facts.at),
        deployed=funds_ends(will_be, active, facts.at),
        hindsight=funds_ends(will_be, begun, facts.at),
    )


def _past(facts: FleetFacts, session: Session, account: Account) -> SessionPast:
    return SessionPast(session=session, account=account, events=facts.events.get(session.id, ()))


def _events(
    tx: Transaction, session_ids: Collection[str], since: datetime, most: int
) -> tuple[Mapping[str, Sequence[PastEvent]], datetime | None]:
    """Return each session's events, oldest first; and, if there are too many, the instant before which none was
    read."""
    found: defaultdict[str, list[PastEvent]] = defaultdict(list)
    read, last = 0, since
    for one in tx.recent.events(since, most):
        read, last = read + 1, one.time
        if one.subject in session_ids and "interactions" in one.data:
            found[one.subject].append(_event(one))
    oldest_first = {session_id: events[::-1] for session_id, events in found.items()}
    return oldest_first, last if read == most else None


def _event(one: RecentEvent) -> PastEvent:
    ping = one.data.get("last_ping") or {}
    return PastEvent(
        kind=one.type.removeprefix(_SESSION),
        at=one.time,
        interactions=one.data["interactions"],
        verdict=Verdict(ping["verdict"]) if ping else None,
        latency_ms=ping.get("latency_ms") or 0,
        stop_reason=one.data.get("stop_reason"),
    )


def _in_order(one: TrialFinding) -> tuple[bool, str, bool, datetime, str]:
    """Order what a deploy does before what is hindsight, and by time."""
    at = one.at or (one.otherwise.at if one.otherwise else one.session.created_at)
    return one.time is TrialTime.HINDSIGHT, one.effect.value, one.at is None, at, one.session.id


def _as_json(one: TrialFinding) -> dict[str, Any]:
    session, was = one.session, one.otherwise
    return {
        "session_id": session.id,
        "name": session.name,
        "account_id": session.account_id,
        "model_id": session.model_id,
        "provider": session.provider,
        "state": session.state.value,
        "effect": one.effect.value,
        "applies": one.time.value,
        "at": rfc3339(one.at),
        "reason": one.reason,
        "detail": one.detail,
        "condition": one.condition,
        "otherwise_at": rfc3339(was.at) if was else None,
        "otherwise_reason": was.reason.value if was else None,
        "interactions": {"at_least": one.traffic.at_least, "at_most": one.traffic.at_most},
        "price_per_node_hour": as_text(session.price_per_node_hour),
        "currency": session.currency,
    }
