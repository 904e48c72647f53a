"""The two most frequent queries: claim due pings, and settle good ones, hundreds at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, case, or_, select, update, values
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import column

from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.values import Placement, Session, Verdict
from orchestrator.store.core.columns import EnumText
from orchestrator.store.core.rows import snapshot, table_of
from orchestrator.store.queries.living import RUNS
from orchestrator.store.queries.waits import may_be_asked, moment_of
from orchestrator.store.tables import PlacementRow, SessionRow

SESSIONS = table_of(SessionRow)
PLACEMENTS = table_of(PlacementRow)

#: The longest time that a Retry-After of other calls delays a ping, unless a policy says otherwise. Seconds.
HELD_AT_MOST = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodPing:
    """An ALIVE that changes no state: everything that its settlement writes."""

    session_id: str
    revision: int
    at: datetime
    latency_ms: int
    ping_at: datetime
    next_step: Step
    next_step_at: datetime


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

        `spread_seconds`: see `may_be_asked`. A Retry-After of other calls delays a ping for at most `held_seconds`.
        Without `suspects`, sessions with an unanswered last ping are skipped."""
        until = now + timedelta(seconds=lease_seconds)
        lately = now - timedelta(seconds=begins_within_seconds)
        asked = _may_be_asked(now, spread_seconds, held_seconds)
        due = _due(provider, limit, now, lately, lacking).where(asked)
        due = due if suspects else due.where(SESSIONS.c.failures == 0, SESSIONS.c.busy_since.is_(None))
        once = due.cte("due")  # a subquery may run once for each row, and would then claim more than `limit`
        claim = update(SESSIONS).where(SESSIONS.c.id.in_(select(once.c.id)))
        claim = claim.values(_leased(token, now, until)).returning(SESSIONS)
        claimed = [snapshot(Session, row) for row in self._connection.execute(claim)]
        return self._with_placements(claimed)

    def settle_good(self, pings: Sequence[GoodPing], token: str) -> set[str]:
        """Write good pings in bulk if their token and revision are unchanged; return the sessions written.

        Rows are locked in the order of their ids, so that two settlements cannot deadlock."""
        if not pings:
            return set()
        ordered = sorted(pings, key=lambda ping: ping.session_id)
        if self._connection.dialect.name == "postgresql":
            return self._settle_in_one_statement(ordered, token)
        return {ping.session_id for ping in ordered if self._settle_one(ping, token)}

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
            waiting = (
                SESSIONS.c.next_step == Step.PING,
                SESSIONS.c.next_step_at > now,
                SESSIONS.c.leased_at.is_(None),
            )
            first = select(SESSIONS.c.id).where(*there, *waiting).order_by(SESSIONS.c.next_step_at).limit(1)
            one = first.with_for_update(skip_locked=True).cte("one")
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
        query = select(PLACEMENTS).where(
            PLACEMENTS.c.session_id.in_([session.id for session in sessions]),
            PLACEMENTS.c.state == PlacementState.OPEN,
        )
        open_ones = {row.session_id: snapshot(Placement, row) for row in self._connection.execute(query)}
        return [(session, open_ones[session.id]) for session in sessions if session.id in open_ones]

    def _settle_one(self, ping: GoodPing, token: str) -> bool:
        statement = (
            update(SESSIONS)
            .where(SESSIONS.c.id == ping.session_id)
            .where(SESSIONS.c.lease_token == token, SESSIONS.c.revision == ping.revision)
            .where(RUNS)
            .values(_good(ping.at, ping.latency_ms, ping.ping_at, ping.next_step, ping.next_step_at))
        )
        return self._connection.execute(statement).rowcount == 1

    def _settle_in_one_statement(self, pings: Sequence[GoodPing], token: str) -> set[str]:
        new = values(
            column("id", SESSIONS.c.id.type),
            column("revision", SESSIONS.c.revision.type),
            column("at", SESSIONS.c.last_ping_at.type),
            column("latency_ms", SESSIONS.c.last_latency_ms.type),
            column("ping_at", SESSIONS.c.ping_at.type),
            column("step", EnumText(Step)),
            column("step_at", SESSIONS.c.next_step_at.type),
            name="new",
        ).data(
            [
                (p.session_id, p.revision, p.at, p.latency_ms, p.ping_at, p.next_step, p.next_step_at)
                for p in pings
            ]
        )
        locked = (
            select(SESSIONS.c.id)
            .where(SESSIONS.c.id.in_([ping.session_id for ping in pings]))
            .order_by(SESSIONS.c.id)
            .with_for_update()
            .cte("locked")
        )
        statement = (
            update(SESSIONS)
            .where(SESSIONS.c.id == new.c.id, SESSIONS.c.id == locked.c.id)
            .where(SESSIONS.c.lease_token == token, SESSIONS.c.revision == new.c.revision)
            .where(RUNS)
            .values(_good(new.c.at, new.c.latency_ms, new.c.ping_at, new.c.step, new.c.step_at))
            .returning(SESSIONS.c.id)
        )
        return set(self._connection.execute(statement).scalars())


def _leased(token: str, now: datetime, until: datetime) -> dict[str, object]:
    step, at = _after_silence(until)
    return {
        "lease_token": token,
        "leased_at": now,
        "lease_until": until,
        "attempts": SESSIONS.c.attempts + 1,
        "ping_at": until,
        "next_step": step,
        "next_step_at": at,
    }


def _good(
    at: object, latency_ms: object, ping_at: object, step: object, step_at: object
) -> dict[str, object]:
    return {
        "ping_at": ping_at,
        "last_ping_at": at,
        "last_alive_at": at,
        "last_verdict": Verdict.ALIVE,
        "last_latency_ms": latency_ms,
        "last_ping_detail": "",
        "next_step": step,
        "next_step_at": step_at,
        "lease_token": None,
        "leased_at": None,
        "lease_until": None,
        "attempts": 0,
    }


def _due(
    provider: str, limit: int, now: datetime, lately: datetime, lacking: Collection[str]
) -> Select[tuple[str]]:
    due = (
        select(SESSIONS.c.id)
        .where(SESSIONS.c.next_step == Step.PING, SESSIONS.c.next_step_at <= now)
        .where(SESSIONS.c.provider == provider)
        .where(or_(SESSIONS.c.leased_at.is_(None), SESSIONS.c.leased_at <= lately))
        .order_by(SESSIONS.c.next_step_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if lacking:
        due = due.where(or_(SESSIONS.c.credential.is_(None), SESSIONS.c.credential.not_in(lacking)))
    return due


def _may_be_asked(now: datetime, spread_seconds: float, held_seconds: float) -> ColumnElement[bool]:
    """Match sessions without a rate limit in force, those that it has delayed for `held_seconds`, and those in
    doubt."""
    in_turn: dict[str, Any] = {"row": SESSIONS.c.id, "spread_seconds": spread_seconds}
    of = SESSIONS.c.provider, SESSIONS.c.credential, SESSIONS.c.model_id
    long_due = SESSIONS.c.next_step_at <= moment_of(now=now - timedelta(seconds=held_seconds), **in_turn)
    in_doubt = or_(SESSIONS.c.failures > 0, SESSIONS.c.gone_since.is_not(None))
    return or_(may_be_asked(*of, now, **in_turn), long_due, in_doubt)


def _after_silence(until: datetime) -> tuple[ColumnElement[Step], ColumnElement[datetime]]:
    """Return the next step if the ping is never settled. At equal times, a stop comes before a warning, and a warning
    before a ping."""
    stop_first = SESSIONS.c.stop_at <= case((SESSIONS.c.warn_at < until, SESSIONS.c.warn_at), else_=until)
    warn_first = SESSIONS.c.warn_at <= until
    step = case((stop_first, Step.STOP), (warn_first, Step.WARN), else_=Step.PING)
    at = case((stop_first, SESSIONS.c.stop_at), (warn_first, SESSIONS.c.warn_at), else_=until)
    return step, at
