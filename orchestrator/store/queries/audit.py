"""Named queries of the audit over rows: changed ones, the next ones in turn, and everything that belongs to them.

They write nothing and scan nothing: every query finds its rows by a key, an index of due rows, or an index that must be
empty."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, select

from orchestrator.rules.audit.invariants import Admission, AtRest, PlacementFacts, SessionFacts, StateEvent
from orchestrator.rules.states import CONCURRENT, State
from orchestrator.rules.values import Account, Session
from orchestrator.store.core.conditions import AT_REST
from orchestrator.store.core.rows import columns_of, snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.due import is_kept

ACCOUNTS, SESSIONS, PLACEMENTS = table_of("accounts"), table_of("sessions"), table_of("placements")
LEDGER, OUTBOX, BALANCES = table_of("ledger"), table_of("outbox"), table_of("audit_balances")
COUNTS, ARCHIVED = table_of("session_counts"), table_of("archived_sessions")
_OF_SESSIONS = "orchestrator.session."


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """The rows that a page of a feed names, and how far the page goes."""

    sessions: Collection[str]
    accounts: Collection[str]
    last: int
    """The last place read."""
    settled: int
    """The last place before which no row can appear any more."""
    full: bool
    """Whether there may be more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """The sum of an account's ledger, up to and including the entry `ledger_id`."""

    ledger_id: int
    balance: Decimal


class Audit:
    """Queries of the audit, inside one transaction that only reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # which rows

    def announced_since(self, seq: int, settled_before: datetime, limit: int) -> Changed:
        """Return the sessions of the next events. An event gets its place before its transaction commits, so events
        younger than `settled_before` are read again next time."""
        query = select(OUTBOX.c.seq, OUTBOX.c.type, OUTBOX.c.subject, OUTBOX.c.time)
        rows = self._connection.execute(
            query.where(OUTBOX.c.seq > seq).order_by(OUTBOX.c.seq).limit(limit)
        ).all()
        return Changed(
            sessions={row.subject for row in rows if row.type.startswith(_OF_SESSIONS)},
            accounts=(),
            last=rows[-1].seq if rows else seq,
            settled=_settled(seq, [(row.seq, row.time) for row in rows], settled_before),
            full=len(rows) == limit,
        )

    def posted_since(self, ledger_id: int, settled_before: datetime, limit: int) -> Changed:
        """Return the accounts and sessions of the ledger's next entries, in the same way."""
        query = select(LEDGER.c.id, LEDGER.c.account_id, LEDGER.c.session_id, LEDGER.c.at)
        rows = self._connection.execute(
            query.where(LEDGER.c.id > ledger_id).order_by(LEDGER.c.id).limit(limit)
        ).all()
        return Changed(
            sessions={row.session_id for row in rows if row.session_id is not None},
            accounts={row.account_id for row in rows},
            last=rows[-1].id if rows else ledger_id,
            settled=_settled(ledger_id, [(row.id, row.at) for row in rows], settled_before),
            full=len(rows) == limit,
        )

    def sessions_after(self, session_id: str, limit: int) -> Sequence[str]:
        """Return the next ids of sessions, in their order."""
        query = select(SESSIONS.c.id).where(SESSIONS.c.id > session_id).order_by(SESSIONS.c.id).limit(limit)
        return list(self._connection.execute(query).scalars())

    def accounts_after(self, account_id: str, limit: int) -> Sequence[str]:
        """Return the next ids of accounts, in their order."""
        query = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id > account_id).order_by(ACCOUNTS.c.id).limit(limit)
        return list(self._connection.execute(query).scalars())

    # with all that belongs to them

    def sessions(self, ids: Collection[str]) -> Sequence[SessionFacts]:
        """Return these sessions with their placements, postings and events."""
        placements, posted, events = self._placements(ids), self._posted(ids), self._state_events(ids)
        rows = self._connection.execute(
            select(SESSIONS, is_kept().label("found_by_step"))
            .where(SESSIONS.c.id.in_(ids))
            .order_by(SESSIONS.c.id)
        )
        return [
            SessionFacts(
                session=snapshot(Session, row),
                placements=placements[row.id],
                posted=posted[row.id][0],
                postings=posted[row.id][1],
                events=events[row.id],
                found_by_step=row.found_by_step,
            )
            for row in rows
        ]

    def placements(self, ids: Collection[str]) -> Sequence[PlacementFacts]:
        """Return these placements."""
        query = select(*columns_of_placement()).where(PLACEMENTS.c.id.in_(ids)).order_by(PLACEMENTS.c.id)
        return [snapshot(PlacementFacts, row) for row in self._connection.execute(query)]

    def accounts(self, ids: Collection[str]) -> Sequence[Account]:
        """Return these accounts."""
        query = select(ACCOUNTS).where(ACCOUNTS.c.id.in_(ids)).order_by(ACCOUNTS.c.id)
        return [snapshot(Account, row) for row in self._connection.execute(query)]

    def ledgers(self, ids: Collection[str], *, recompute: bool) -> Mapping[str, Posted]:
        """Return the sums of these accounts' ledgers: the saved sum and later entries; with `recompute`, all entries.

        An account's entries are written under its lock, so their order is that of their ids."""
        known = literal(0) if recompute else func.coalesce(BALANCES.c.ledger_id, 0)
        since = and_(LEDGER.c.account_id == ACCOUNTS.c.id, LEDGER.c.id > known)
        last = select(func.max(LEDGER.c.id)).where(since).correlate(ACCOUNTS, BALANCES).scalar_subquery()
        moved = select(func.sum(_signed())).where(since).correlate(ACCOUNTS, BALANCES).scalar_subquery()
        query = (
            select(ACCOUNTS.c.id, BALANCES.c.ledger_id, BALANCES.c.balance, last, moved)
            .select_from(ACCOUNTS.outerjoin(BALANCES, BALANCES.c.account_id == ACCOUNTS.c.id))
            .where(ACCOUNTS.c.id.in_(ids))
        )
        return {
            account_id: Posted(
                ledger_id=newest or old_id or 0,
                balance=(Decimal(0) if recompute or old is None else old) + Decimal(sum_since or 0),
            )
            for account_id, old_id, old, newest, sum_since in self._connection.execute(query)
        }

    def active(self, ids: Collection[str], most: int | None) -> Mapping[str, Sequence[Session]] | None:
        """Return the starting and running sessions of these accounts; None if there are more than `most` together."""
        query = (
            select(SESSIONS)
            .where(SESSIONS.c.account_id.in_(ids), SESSIONS.c.deleted_at.is_(None))
            .where(SESSIONS.c.state.in_([State.STARTING, State.RUNNING]))
            .limit(None if most is None else most + 1)
        )
        rows = self._connection.execute(query).all()
        if most is not None and len(rows) > most:
            return None
        of: dict[str, list[Session]] = {account_id: [] for account_id in ids}
        for row in rows:
            of[row.account_id].append(snapshot(Session, row))
        return of

    def admissions(self, account_id: str) -> Sequence[Admission]:
        """Return when sessions that count for the account's quota were created and admitted, and under which quota: the
        newest of all that are not deleted, and all that start, run or stop. The first placement shows the time of an
        admission."""
        first = and_(PLACEMENTS.c.session_id == SESSIONS.c.id, PLACEMENTS.c.n == 1)
        newest = SESSIONS.c.created_at == self._newest(account_id)
        query = (
            select(
                SESSIONS.c.created_at, SESSIONS.c.state, SESSIONS.c.admitted_under, PLACEMENTS.c.created_at
            )
            .select_from(SESSIONS.outerjoin(PLACEMENTS, first))
            .where(SESSIONS.c.account_id == account_id, SESSIONS.c.deleted_at.is_(None))
        )
        rows = [
            *self._connection.execute(query.where(SESSIONS.c.state.in_(State), newest)),
            *self._connection.execute(query.where(SESSIONS.c.state.in_(CONCURRENT), ~newest)),
        ]
        return [
            Admission(
                created_at=created_at, admitted_at=admitted_at if state in CONCURRENT else None, under=under
            )
            for created_at, state, under, admitted_at in rows
        ]

    def at_rest(self, ids: Collection[str], most: int | None) -> Mapping[str, AtRest]:
        """Return how many sessions of these accounts are at rest: by the saved counts, and counted one by one. Accounts
        with counts above `most` are left out."""
        kept = select(COUNTS.c.account_id, COUNTS.c.state, COUNTS.c.provider, COUNTS.c.n)
        counted = self._by_place(kept.where(COUNTS.c.account_id.in_(ids), COUNTS.c.n != 0))
        few = [one for one in ids if most is None or sum(counted[one].values()) <= most]
        each = select(SESSIONS.c.account_id, SESSIONS.c.state, SESSIONS.c.provider, func.count()).where(
            SESSIONS.c.account_id.in_(few), SESSIONS.c.deleted_at.is_(None), SESSIONS.c.state.in_(AT_REST)
        )
        each = each.group_by(SESSIONS.c.account_id, SESSIONS.c.state, SESSIONS.c.provider)
        there, archived = self._by_place(each), self._by_place(_archived_at_rest(few))
        return {
            one: AtRest(counted=counted[one], there=Counter(there[one]) + Counter(archived[one]))
            for one in few
        }

    def _by_place(self, query: Select[Any]) -> Mapping[str, dict[str, int]]:
        of: dict[str, dict[str, int]] = defaultdict(dict)
        for account_id, state, provider, n in self._connection.execute(query):
            of[account_id][f"{state} at {provider}" if provider else str(state)] = int(n)
        return of

    def _newest(self, account_id: str) -> datetime | None:
        """Return when the newest session that is not deleted was created. An index orders them within each state."""
        mine = (SESSIONS.c.account_id == account_id, SESSIONS.c.deleted_at.is_(None))
        columns = [
            select(func.max(SESSIONS.c.created_at)).where(*mine, SESSIONS.c.state == state).scalar_subquery()
            for state in State
        ]
        found = self._connection.execute(select(*columns)).one()
        return max((at for at in found if at is not None), default=None)

    def _placements(self, ids: Collection[str]) -> Mapping[str, Sequence[PlacementFacts]]:
        of: dict[str, list[PlacementFacts]] = defaultdict(list)
        query = select(*columns_of_placement()).where(PLACEMENTS.c.session_id.in_(ids))
        for row in self._connection.execute(query.order_by(PLACEMENTS.c.n)):
            of[row.session_id].append(snapshot(PlacementFacts, row))
        return of

    def _posted(self, ids: Collection[str]) -> Mapping[str, tuple[Decimal, int]]:
        of: dict[str, tuple[Decimal, int]] = defaultdict(lambda: (Decimal(0), 0))
        charged = case((LEDGER.c.kind == "charge", LEDGER.c.amount), else_=-LEDGER.c.amount)
        query = select(LEDGER.c.session_id, func.sum(charged), func.count())
        mine = and_(LEDGER.c.session_id.in_(ids), LEDGER.c.kind.in_(["charge", "reversal"]))
        for session_id, amount, postings in self._connection.execute(
            query.where(mine).group_by(LEDGER.c.session_id)
        ):
            of[session_id] = (Decimal(amount), postings)
        return of

    def _state_events(self, ids: Collection[str]) -> Mapping[str, Sequence[StateEvent]]:
        of: dict[str, list[StateEvent]] = defaultdict(list)
        state, previous = OUTBOX.c.data["state"].as_string(), OUTBOX.c.data["previous_state"].as_string()
        columns = (OUTBOX.c.seq, OUTBOX.c.subject, OUTBOX.c.type, state, previous)
        query = select(*columns).where(OUTBOX.c.subject.in_(ids))
        rows = sorted(
            self._connection.execute(query).all(), key=lambda row: int(row.seq)
        )  # a sort in the database would scan
        for seq, subject, kind, is_now, was in rows:
            if is_now is not None:  # other events are about its placements
                event = StateEvent(seq=seq, kind=kind.removeprefix(_OF_SESSIONS), previous=was, state=is_now)
                of[subject].append(event)
        return of


def _archived_at_rest(account_ids: Collection[str]) -> Select[Any]:
    """Return the number of archived sessions of these accounts that count, by state and provider."""
    place = (ARCHIVED.c.account_id, ARCHIVED.c.state, ARCHIVED.c.provider)
    mine = (ARCHIVED.c.account_id.in_(account_ids), ARCHIVED.c.deleted_at.is_(None))
    counts = ARCHIVED.c.state.in_(AT_REST)
    return select(*place, func.count()).where(*mine, counts).group_by(*place)


def columns_of_placement() -> Sequence[ColumnElement[Any]]:
    """Return the columns of `PlacementFacts`."""
    return [PLACEMENTS.c[name] for name in columns_of(PlacementFacts)]


def _signed() -> ColumnElement[Decimal]:
    """Return the amount that an entry adds to its account's book."""
    return case(
        (LEDGER.c.credit == literal("account:") + LEDGER.c.account_id, LEDGER.c.amount),
        else_=-LEDGER.c.amount,
    )


def _settled(before: int, rows: Sequence[tuple[int, datetime]], settled_before: datetime) -> int:
    """Return the last place before the first row that is too young."""
    last = before
    for place, at in rows:
        if at > settled_before:
            break
        last = place
    return last
