"""The two most frequent queries: claim due pings, and settle good ones, hundreds at a time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    Update,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    or_,
    select,
    update,
)

from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.values import Due, Placement, Session, Verdict
from orchestrator.store.core.rows import snapshot, snapshots
from orchestrator.store.plain import table_of
from orchestrator.store.queries.availability import may_be_asked, moment_of, moments
from orchestrator.store.queries.due import STEPS, is_due, with_sessions
from orchestrator.store.queries.living import IN_DOUBT, RUNS

SESSIONS = table_of("sessions")
PLACEMENTS = table_of("placements")

#: The longest time that a Retry-After of other calls delays a ping, unless a policy says otherwise. Seconds.
HELD_AT_MOST = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodPing:
    """An ALIVE that changes no state: everything that its settlement writes."""

    session_id: str
    token: str
    """Of the lease under which it was sent."""
    revision: int
    at: datetime
    latency_ms: int
    ping_at: datetime
    due: Due


class Pings:
    """Claims and settlements of pings, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(
        self,
        provider: str,
        limit: int,
        *,
        now: datetime,
        token: str,
        lease_seconds: float,
        begins_within_seconds: float = 0,
        spread_seconds: float = 0,
        held_seconds: float = HELD_AT_MOST,
        lacking: Collection[str] = (),
        suspects: bool = True,
    ) -> Sequence[tuple[Session, Placement]]:
        """Lease up to `limit` sessions of `provider` with a due ping, longest overdue first, in one statement.

        The claim also writes the step that follows a lost lease: the earliest of stop, warning and a new ping at its
        end. Rows that another claim holds are skipped; credentials in `lacking` are left to other workers. A session
        that was claimed within `begins_within_seconds` is skipped even if it is made due again: its ping may begin
        soon, and a close must know of it.

        `spread_seconds`: see `moments`. A Retry-After of other calls delays a ping for at most `held_seconds`.
        Without `suspects`, sessions with an unanswered last ping are skipped."""
        values = {
            "at": now,
            "token": token,
            "until": now + timedelta(seconds=lease_seconds),
            "lately": now - timedelta(seconds=begins_within_seconds),
            "at_provider": provider,
            "most": limit,
            **moments(now, spread_seconds),
            **moments(now - timedelta(seconds=held_seconds), spread_seconds, "held"),
            **({"lacking": sorted(lacking)} if lacking else {}),
        }
        claim = _claim(lacking=bool(lacking), suspects=suspects)
        return self._with_placements(snapshots(Session, self._connection.execute(claim, values)))

    def settle_good(self, pings: Sequence[GoodPing]) -> set[str]:
        """Write good pings in bulk if their token and revision are unchanged; return the sessions written.

        The statements are the same whatever the number of pings. Rows are locked in the order of their ids, so that two
        settlements cannot deadlock."""
        if not pings:
            return set()
        ordered = sorted(pings, key=lambda ping: ping.session_id)
        if self._connection.dialect.name == "postgresql":
            return set(self._connection.execute(_SETTLE_ALL, _arrays(ordered)).scalars())
        return self._settle_each(ordered)

    def release(self, session_ids: Collection[str], token: str, at: datetime) -> None:
        """Give back rows with a ping that never began. They are due again at `at`, unless another step is due
        sooner."""
        mine = (
            SESSIONS.c.id.in_(session_ids),
            SESSIONS.c.lease_token == token,
            SESSIONS.c.next_step.in_([Step.PING, Step.WARN, Step.STOP]),
        )
        sooner = and_(SESSIONS.c.next_step != Step.PING, SESSIONS.c.next_step_at <= at)
        released = {
            "lease_token": None,
            "leased_at": None,
            "lease_until": None,
            "ping_at": at,
            "next_step": case((sooner, SESSIONS.c.next_step), else_=Step.PING),
            "next_step_at": case((sooner, SESSIONS.c.next_step_at), else_=at),
        }
        self._connection.execute(update(SESSIONS).where(*mine).values(**released))

    def renew(self, session_id: str, token: str, now: datetime) -> bool:
        """Claim again a ping that has not begun. Return False if a stop, or another ping, took the session over."""
        mine = and_(SESSIONS.c.id == session_id, SESSIONS.c.lease_token == token, RUNS)
        renewed = update(SESSIONS).where(mine).values(leased_at=now)
        return self._connection.execute(renewed).rowcount == 1

    def ask_soon(self, providers: Collection[str], now: datetime) -> bool:
        """Make the next ping of one running session at each provider due; return whether any session runs there."""
        runs = False
        for provider in sorted(providers):
            there = SESSIONS.c.provider == provider, RUNS
            runs |= self._connection.execute(select(SESSIONS.c.id).where(*there).limit(1)).first() is not None
            waits = (STEPS.c.provider == provider, STEPS.c.step == Step.PING, STEPS.c.at > now)
            mine = SESSIONS.c.next_step == Step.PING, SESSIONS.c.leased_at.is_(None)
            first = select(SESSIONS.c.id).select_from(with_sessions()).where(*waits, *there, *mine)
            first = first.order_by(STEPS.c.at).limit(1)
            one = first.with_for_update(skip_locked=True, of=SESSIONS).cte("one")
            soon = update(SESSIONS).where(SESSIONS.c.id.in_(select(one.c.id)))
            self._connection.execute(soon.values(ping_at=now, next_step_at=now))
        return runs

    def some_running(self, provider: str, now: datetime) -> Placement | None:
        """Return the placement of one session that runs there and will not be stopped within a minute."""
        lasts = or_(SESSIONS.c.stop_at.is_(None), SESSIONS.c.stop_at > now + timedelta(minutes=1))
        query = (
            select(PLACEMENTS)
            .join(SESSIONS, SESSIONS.c.id == PLACEMENTS.c.session_id)
            .where(SESSIONS.c.provider == provider, RUNS, lasts)
            .where(PLACEMENTS.c.provider == provider, PLACEMENTS.c.state == PlacementState.OPEN)
            .order_by(SESSIONS.c.last_ping_at.desc().nulls_last(), SESSIONS.c.id)
            .limit(1)
        )
        row = self._connection.execute(query).first()
        return snapshot(Placement, row) if row else None

    def _with_placements(self, sessions: Sequence[Session]) -> Sequence[tuple[Session, Placement]]:
        if not sessions:
            return []
        query = _OPEN_ON_POSTGRESQL if self._connection.dialect.name == "postgresql" else _OPEN
        rows = self._connection.execute(query, {"ids": [session.id for session in sessions]})
        open_ones = {placement.session_id: placement for placement in snapshots(Placement, rows)}
        return [(session, open_ones[session.id]) for session in sessions if session.id in open_ones]

    def _settle_each(self, pings: Sequence[GoodPing]) -> set[str]:
        """Settle on SQLite: no other transaction writes between its two statements."""
        ids = [ping.session_id for ping in pings]
        held = {
            (row.id, row.lease_token, row.revision) for row in self._connection.execute(_RUN, {"ids": ids})
        }
        mine = [ping for ping in pings if (ping.session_id, ping.token, ping.revision) in held]
        if mine:
            self._connection.execute(_SETTLE_ONE, [_columns_of(ping) for ping in mine])
        return {ping.session_id for ping in mine}


def _fallback_step() -> tuple[ColumnElement[Step], ColumnElement[datetime]]:
    """Return the next step if the ping is never settled. At equal times, a stop comes before a warning, and a warning
    before a ping."""
    stop_first = SESSIONS.c.stop_at <= case((SESSIONS.c.warn_at < _UNTIL, SESSIONS.c.warn_at), else_=_UNTIL)
    warn_first = SESSIONS.c.warn_at <= _UNTIL
    step = case((stop_first, Step.STOP), (warn_first, Step.WARN), else_=Step.PING)
    at = case((stop_first, SESSIONS.c.stop_at), (warn_first, SESSIONS.c.warn_at), else_=_UNTIL)
    return step, at


@cache
def _claim(*, lacking: bool, suspects: bool) -> Update:
    """Build each form of the claim once: every tick, every second, executes it."""
    due = _due().where(_may_be_asked())
    if lacking:
        others = SESSIONS.c.credential.not_in(bindparam("lacking", expanding=True))
        due = due.where(or_(SESSIONS.c.credential.is_(None), others))
    if not suspects:
        due = due.where(SESSIONS.c.failures == 0, SESSIONS.c.busy_since.is_(None))
    once = due.cte("due")  # a subquery may run once for each row, and would then claim more than `most`
    step, at = _fallback_step()
    leased = {
        "lease_token": bindparam("token"),
        "leased_at": _AT,
        "lease_until": _UNTIL,
        "attempts": SESSIONS.c.attempts + 1,
        "ping_at": _UNTIL,
        "next_step": step,
        "next_step_at": at,
    }
    claim = update(SESSIONS).where(SESSIONS.c.id.in_(select(once.c.id)))
    return claim.values(leased).returning(SESSIONS)


def _due() -> Select[tuple[str]]:
    lately = bindparam("lately", type_=SESSIONS.c.leased_at.type)
    provider: ColumnElement[str] = bindparam("at_provider")
    return (
        select(SESSIONS.c.id)
        .select_from(with_sessions())
        .where(is_due(Step.PING, _AT, STEPS.c.provider == provider), SESSIONS.c.provider == provider)
        .where(or_(SESSIONS.c.leased_at.is_(None), SESSIONS.c.leased_at <= lately))
        .order_by(STEPS.c.at)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True, of=SESSIONS)
    )


def _may_be_asked() -> ColumnElement[bool]:
    """Match sessions without a rate limit in force, those that it has delayed for long, and those in doubt."""
    of = SESSIONS.c.provider, SESSIONS.c.credential, SESSIONS.c.model_id
    long_due = SESSIONS.c.next_step_at <= moment_of(SESSIONS.c.id, "held")
    return or_(may_be_asked(*of, row=SESSIONS.c.id), long_due, IN_DOUBT)


def _good(new: Callable[[str], ColumnElement[Any]]) -> dict[str, Any]:
    """Return what a good ping writes. `new`: its value of a name in `_WRITTEN`."""
    return {
        "ping_at": new("ping_at"),
        "last_ping_at": new("at"),
        "last_alive_at": new("at"),
        "last_verdict": Verdict.ALIVE,
        "last_latency_ms": new("latency_ms"),
        "last_ping_detail": "",
        "next_step": new("step"),
        "next_step_at": new("step_at"),
        "lease_token": None,
        "leased_at": None,
        "lease_until": None,
        "attempts": 0,
    }


def _columns_of(ping: GoodPing) -> dict[str, Any]:
    """Return a good ping by the names in `_WRITTEN`."""
    return {
        "its_id": ping.session_id,
        "its_token": ping.token,
        "its_revision": ping.revision,
        "at": ping.at,
        "latency_ms": ping.latency_ms,
        "ping_at": ping.ping_at,
        "step": ping.due.step,
        "step_at": ping.due.at,
    }


def _arrays(pings: Sequence[GoodPing]) -> dict[str, list[Any]]:
    """Return the good pings as one array for each name in `_WRITTEN`."""
    rows = [_columns_of(ping) for ping in pings]
    return {name: [row[name] for row in rows] for name in _WRITTEN}


def _settle_all() -> Update:
    """Build the settlement on PostgreSQL: its text does not depend on the number of pings, so that it is compiled
    once, and prepared where the connection allows it.

    Each row is looked up by its key, once to lock it and once to write it. A join of two sets that have no index, as
    the pings and what is locked are, would take a time that grows with the square of their number."""
    columns = [column(name, of.type) for name, of in _WRITTEN.items()]
    new = func.unnest(*map(_array, _WRITTEN)).table_valued(*columns, name="new").render_derived()
    locked = (
        select(SESSIONS.c.id, *new.c)
        .where(SESSIONS.c.id == new.c.its_id)
        .where(SESSIONS.c.lease_token == new.c.its_token, SESSIONS.c.revision == new.c.its_revision)
        .where(RUNS)
        .order_by(SESSIONS.c.id)
        .with_for_update(of=SESSIONS)
        .cte("locked")
    )
    good = update(SESSIONS).where(SESSIONS.c.id == locked.c.id).values(_good(lambda name: locked.c[name]))
    return good.returning(SESSIONS.c.id)


def _array(name: str) -> ScalarSelect[Any]:
    """Return the array of this name in a query of its own, which hides its length: rather than look up hundreds of
    keys, PostgreSQL would read a table of up to 40,000 sessions to its end, which takes ten times as long."""
    return select(bindparam(name, type_=ARRAY(_WRITTEN[name].type))).scalar_subquery()


#: What identifies a good ping and what it writes, and the column that each is compared with or written to.
_WRITTEN: Mapping[str, Column[Any]] = {
    "its_id": SESSIONS.c.id,
    "its_token": SESSIONS.c.lease_token,
    "its_revision": SESSIONS.c.revision,
    "at": SESSIONS.c.last_ping_at,
    "latency_ms": SESSIONS.c.last_latency_ms,
    "ping_at": SESSIONS.c.ping_at,
    "step": SESSIONS.c.next_step,
    "step_at": SESSIONS.c.next_step_at,
}
_AT = bindparam("at", type_=SESSIONS.c.next_step_at.type)
_UNTIL = bindparam("until", type_=SESSIONS.c.lease_until.type)
_SETTLE_ALL = _settle_all()
_RUN = select(SESSIONS.c.id, SESSIONS.c.lease_token, SESSIONS.c.revision).where(
    SESSIONS.c.id.in_(bindparam("ids", expanding=True)), RUNS
)
_SETTLE_ONE = (
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("its_id"))
    .values(_good(lambda name: bindparam(name, type_=_WRITTEN[name].type)))
)
_OPEN_ON_POSTGRESQL, _OPEN = (
    select(PLACEMENTS).where(which, PLACEMENTS.c.state == PlacementState.OPEN)
    for which in (
        PLACEMENTS.c.session_id == any_(bindparam("ids", type_=ARRAY(PLACEMENTS.c.session_id.type))),
        PLACEMENTS.c.session_id.in_(bindparam("ids", expanding=True)),
    )
)
