"""Named queries of retention: which sessions may leave the live tables, how they leave, and which must be deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
)

from orchestrator.rules.installation.retention import RetentionCandidate
from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import Placement, Session
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.queries.archive import ARCHIVED, ARCHIVED_LEDGER
from orchestrator.store.queries.audit import ACCOUNTS, BALANCES, LEDGER, PLACEMENTS, SESSIONS
from orchestrator.store.queries.audit_findings import FINDINGS
from orchestrator.store.queries.ledger import Line
from orchestrator.store.queries.living import UNENDED

_MINE = PLACEMENTS.c.session_id == SESSIONS.c.id
#: Forced closes are reported for good, with their sessions; sessions with findings of the audit stay as evidence. These
#: are separate conditions, so that PostgreSQL uses an index that is nearly empty for each.
_MAY_LEAVE = and_(
    ~exists().where(_MINE, UNENDED),
    ~exists().where(_MINE, PLACEMENTS.c.forced_at.is_not(None)),
    ~exists().where(FINDINGS.c.subject == SESSIONS.c.id),
)
_KEPT = SESSIONS.c.deleted_at.is_(None)
#: (condition, since when) of sessions that are over: those that ended, and those that were deleted before they began.
_OVER: tuple[tuple[ColumnElement[bool], Column[datetime]], ...] = (
    (and_(SESSIONS.c.ended_at.is_not(None), SESSIONS.c.state.in_(sorted(TERMINAL))), SESSIONS.c.ended_at),
    (
        and_(~_KEPT, SESSIONS.c.ended_at.is_(None), SESSIONS.c.state == State.CREATED),
        SESSIONS.c.deleted_at,
    ),
)


#: The tables with ended sessions.
_ENDED = (SESSIONS, ARCHIVED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """Accounts and sessions that could not be read, and are skipped."""

    accounts: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)

    @property
    def number(self) -> int:
        """How many there are in all."""
        return len(self.accounts) + len(self.sessions)


class Retention:
    """Queries and changes of retention, inside one transaction. The account is locked before any row leaves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # which may leave

    def candidates(
        self, before: datetime, limit: int, skip: Collection[str] = ()
    ) -> Sequence[RetentionCandidate]:
        """Return sessions that were over before then, the oldest first, with the number of rows that leave with
        each."""
        rows = (1 + SESSIONS.c.placements + SESSIONS.c.charges).label("rows")
        query = select(SESSIONS.c.id, SESSIONS.c.account_id, rows).where(
            _MAY_LEAVE, SESSIONS.c.id.not_in(skip)
        )
        found: list[RetentionCandidate] = []
        for over, at in _OVER:
            which = query.where(over, at < before).order_by(at).limit(limit - len(found))
            found += [RetentionCandidate(*row) for row in self._connection.execute(which)]
        return found

    def oldest(self) -> datetime | None:
        """Return when the oldest session that may leave was over."""
        queries = [select(at).where(over, _MAY_LEAVE).order_by(at).limit(1) for over, at in _OVER]
        found = [self._connection.execute(query).scalar() for query in queries]
        return min((at for at in found if at is not None), default=None)

    def lock(self, ids: Collection[str], before: datetime) -> Sequence[Session]:
        """Return those of these that may still leave, locked, by id."""
        over = or_(*(and_(over, at < before) for over, at in _OVER))
        query = select(SESSIONS).where(SESSIONS.c.id.in_(ids), over, _MAY_LEAVE).order_by(SESSIONS.c.id)
        return [snapshot(Session, row) for row in self._connection.execute(query.with_for_update())]

    # how they leave

    def placements(self, ids: Collection[str]) -> Mapping[str, Sequence[Placement]]:
        """Return session id → its placements, oldest first."""
        of: dict[str, list[Placement]] = {session_id: [] for session_id in ids}
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id.in_(ids)).order_by(PLACEMENTS.c.n)
        for row in self._connection.execute(query):
            of[row.session_id].append(snapshot(Placement, row))
        return of

    def entries(self, ids: Collection[str]) -> Mapping[str, Sequence[Line]]:
        """Return session id → its entries in the ledger."""
        of: dict[str, list[Line]] = {session_id: [] for session_id in ids}
        query = select(LEDGER).where(LEDGER.c.session_id.in_(ids)).order_by(LEDGER.c.id)
        for row in self._connection.execute(query):
            of[row.session_id].append(snapshot(Line, row))
        return of

    def copy_entries(self, ids: Collection[str]) -> None:
        """Copy the ledger entries of these sessions into the archive."""
        names = [column.name for column in ARCHIVED_LEDGER.columns]
        rows = select(*(LEDGER.c[name] for name in names)).where(LEDGER.c.session_id.in_(ids))
        self._connection.execute(insert(ARCHIVED_LEDGER).from_select(names, rows))

    def take_out(self, ids: Collection[str]) -> None:
        """Delete these sessions from the live tables. The database sums the ledger entries that leave. It refuses an
        entry that is neither in the archive nor of a session with a deleted record."""
        self._connection.execute(delete(LEDGER).where(LEDGER.c.session_id.in_(ids)))
        self._connection.execute(delete(PLACEMENTS).where(PLACEMENTS.c.session_id.in_(ids)))
        self._connection.execute(delete(SESSIONS).where(SESSIONS.c.id.in_(ids)))

    def put_opening(self, old: Line | None, new: Line) -> None:
        """Replace the newest entry that an opening entry stands for by that opening entry, and delete the opening entry
        before it."""
        if old is not None:
            self._connection.execute(delete(LEDGER).where(LEDGER.c.id == old.id, LEDGER.c.kind == old.kind))
        self._connection.execute(insert(LEDGER).values(**values_of(new)))

    def forget_sum(self, account_id: str, before: int) -> None:
        """Delete the audit's sum up to an entry before this one: some of its entries have left."""
        mine = and_(BALANCES.c.account_id == account_id, BALANCES.c.ledger_id < before)
        self._connection.execute(delete(BALANCES).where(mine))

    # which are to be deleted

    def accounts_with_ended(
        self,
        plans: Collection[str],
        before: datetime,
        limit: int,
        *,
        others: bool = False,
        skip: "Skip | None" = None,
    ) -> Sequence[str]:
        """Return accounts of these plans (`others`: of all other plans) with a session, archived or not, that ended
        before then and is not deleted. For each account this reads one or two entries of an index."""
        skip = skip or Skip()
        old = [
            exists().where(
                table.c.account_id == ACCOUNTS.c.id, _ended(table, before), _not_among(table, skip)
            )
            for table in _ENDED
        ]
        query = select(ACCOUNTS.c.id).where(_of_plans(plans, others=others), or_(*old))
        if skip.accounts:
            query = query.where(ACCOUNTS.c.id.not_in(sorted(skip.accounts)))
        return list(self._connection.execute(query.order_by(ACCOUNTS.c.id).limit(limit)).scalars())

    def ended_before(
        self, account_id: str, before: datetime, limit: int, skip: "Skip | None" = None
    ) -> Sequence[str]:
        """Return the account's sessions, archived or not, that ended before then and are not deleted: live rows first,
        then archived ones, each oldest first."""
        found: list[str] = []
        for table in _ENDED:
            mine = (
                table.c.account_id == account_id,
                _ended(table, before),
                _not_among(table, skip or Skip()),
            )
            query = select(table.c.id).where(*mine).order_by(table.c.ended_at).limit(limit - len(found))
            found += self._connection.execute(query).scalars()
        return found

    def oldest_not_deleted(self, plans: Collection[str], *, others: bool = False) -> datetime | None:
        """Return the earliest end of a session, archived or not, that is not deleted, at accounts of these plans
        (`others`: of all other plans)."""
        oldest = [
            select(func.min(table.c.ended_at))
            .where(
                table.c.account_id == ACCOUNTS.c.id,
                table.c.deleted_at.is_(None),
                table.c.ended_at.is_not(None),
            )
            .correlate(ACCOUNTS)
            .scalar_subquery()
            for table in _ENDED
        ]
        query = select(*map(func.min, oldest)).where(_of_plans(plans, others=others))
        return min((at for at in self._connection.execute(query).one() if at is not None), default=None)


def _of_plans(plans: Collection[str], *, others: bool) -> ColumnElement[bool]:
    return ACCOUNTS.c.plan.not_in(plans) if others else ACCOUNTS.c.plan.in_(plans)


def _ended(table: Table, before: datetime) -> ColumnElement[bool]:
    return and_(table.c.deleted_at.is_(None), table.c.ended_at < before)


def _not_among(table: Table, skip: Skip) -> ColumnElement[bool]:
    return table.c.id.not_in(sorted(skip.sessions)) if skip.sessions else true()
