"""Named queries of the audit over all rows at once, by indexes that are nearly empty while all is well."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, Table, and_, func, select, text

from orchestrator.rules.audit.check_rows import judge_lateness
from orchestrator.rules.audit.invariants import Invariant, Violation
from orchestrator.rules.states import Step
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.core.conditions import (
    IMPOSSIBLE_PLACEMENT,
    IMPOSSIBLE_SESSION,
    ONE_UNCLOSED,
    WRITTEN_OFF,
)
from orchestrator.store.plain import table_of
from orchestrator.store.queries.audit import ACCOUNTS, LEDGER, OUTBOX, PLACEMENTS, SESSIONS
from orchestrator.store.queries.due import STEPS, is_due, with_sessions
from orchestrator.store.queries.living import RUNS

CREDENTIALS, LEASES = table_of("credentials"), table_of("leases")
_STOPPABLE = (Step.STOP, Step.PING, Step.WARN)
#: A placement's id, and its session's id; None for an orphan.
Pair = tuple[str, str | None]


class LiveAudit:
    """Queries of the audit, inside one transaction that only reads. Each counts up to `limit`."""

    def __init__(self, connection: Connection, limit: int = 1000) -> None:
        self._connection = connection
        self._limit = limit

    def impossible_sessions(self) -> Sequence[str]:
        """Return sessions that violate a constraint."""
        query = select(SESSIONS.c.id).where(text(IMPOSSIBLE_SESSION)).limit(self._limit)
        return list(self._connection.execute(query).scalars())

    def sessions_put_off(self, beyond: Mapping[Step, datetime]) -> Sequence[str]:
        """Return the sessions with a step due later than its kind allows."""
        found: list[str] = []
        for step, at in beyond.items():
            query = select(STEPS.c.session_id).where(STEPS.c.step == step, STEPS.c.at > at)
            latest = query.order_by(STEPS.c.at.desc()).limit(self._limit)
            found += self._connection.execute(latest).scalars()
        return found

    def not_well(self, before: datetime) -> Sequence[str]:
        """Return sessions that run and gave their last proof of life before then."""
        query = select(SESSIONS.c.id).where(RUNS, SESSIONS.c.not_well_since < before)
        ordered = query.order_by(SESSIONS.c.not_well_since).limit(self._limit)
        return list(self._connection.execute(ordered).scalars())

    def impossible_placements(self) -> Sequence[Pair]:
        """Return placements that violate a constraint, orphans included."""
        query = select(PLACEMENTS.c.id, PLACEMENTS.c.session_id).where(text(IMPOSSIBLE_PLACEMENT))
        return [(row.id, row.session_id) for row in self._connection.execute(query.limit(self._limit))]

    def placements_put_off(self, beyond: Mapping[Step, datetime]) -> Sequence[Pair]:
        """Return the placements with a step due later than its kind allows, including orphans that wait for their
        declared end."""
        found: list[Pair] = []
        for step, at in beyond.items():
            query = select(PLACEMENTS.c.id, PLACEMENTS.c.session_id)
            waits = query.where(PLACEMENTS.c.next_step == step, PLACEMENTS.c.next_step_at > at)
            latest = waits.order_by(PLACEMENTS.c.next_step_at.desc()).limit(self._limit)
            found += [(row.id, row.session_id) for row in self._connection.execute(latest)]
        return found

    def overdue(self, before: datetime) -> Sequence[Violation]:
        """Return steps of sessions, placements and accounts that were due before then."""
        late = [finding for step in Step for finding in self._overdue_step(step, before)]
        return late + self._overdue_stops(before)

    def overlong_leases(self, after: datetime) -> Sequence[Violation]:
        """Return leases of credentials that end later than any lease may."""
        query = select(CREDENTIALS.c.id).where(CREDENTIALS.c.lease_until > after).limit(self._limit)
        return [
            Violation(Invariant.LEASES, row.id, "its lease is longer than any lease may be")
            for row in self._connection.execute(query)
        ]

    def shared_keys(self) -> Sequence[Violation]:
        """Return exclusive credentials, by reference and by secret, that carry more than one unclosed placement."""
        found = []
        for key in (PLACEMENTS.c.credential, PLACEMENTS.c.fingerprint):
            query = (
                select(PLACEMENTS.c.provider, func.min(PLACEMENTS.c.credential), func.count())
                .where(text(ONE_UNCLOSED), key.is_not(None))
                .group_by(PLACEMENTS.c.provider, key)
                .having(func.count() > 1)
                .limit(self._limit)
            )
            found += [
                Violation(
                    Invariant.CREDENTIALS, f"{provider}:{ref}", f"it carries {count} unclosed placements"
                )
                for provider, ref, count in self._connection.execute(query)
            ]
        return found

    def undelivered(self, before: datetime) -> Sequence[Violation]:
        """Return undelivered events from before then. Only the oldest are read."""
        oldest = (
            select(OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.time)
            .where(OUTBOX.c.delivered_at.is_(None))
            .order_by(OUTBOX.c.seq)
            .limit(self._limit)
        )
        rows = self._connection.execute(oldest).all()
        return [
            Violation(Invariant.OUTBOX, row.id, f"{row.type} waits since {row.time:%H:%M:%S}")
            for row in rows
            if row.time < before
        ]

    def written_off(self, since: datetime) -> Sequence[Violation]:
        """Return the amounts written off since then, by account."""
        query = (
            select(LEDGER.c.account_id, LEDGER.c.currency, func.sum(LEDGER.c.amount), func.max(LEDGER.c.at))
            .where(text(WRITTEN_OFF), LEDGER.c.at > since)
            .group_by(LEDGER.c.account_id, LEDGER.c.currency)
            .limit(self._limit)
        )
        return [
            Violation(
                Invariant.WRITTEN_OFF,
                account_id,
                f"{money_text(amount)} {currency}, the last at {at:%Y-%m-%d %H:%M:%S}Z",
            )
            for account_id, currency, amount, at in self._connection.execute(query)
        ]

    def silent_scheduler(self, before: datetime) -> Sequence[Violation]:
        """Return a violation if the scheduler's lease was ever held, and was last renewed before then."""
        query = select(LEASES.c.at).where(LEASES.c.name == "scheduler", LEASES.c.at < before)
        return [
            Violation(Invariant.SCHEDULER, "scheduler", f"it last ticked {row.at:%Y-%m-%d %H:%M:%S}Z")
            for row in self._connection.execute(query)
        ]

    def _overdue_step(self, step: Step, before: datetime) -> list[Violation]:
        overdue = and_(PLACEMENTS.c.next_step == step, PLACEMENTS.c.next_step_at < before)
        found = self._late_rows(step, SESSIONS, with_sessions(), is_due(step, before))
        found += self._late_rows(step, PLACEMENTS, PLACEMENTS, overdue)
        query = select(ACCOUNTS.c.id, ACCOUNTS.c.next_step_at)
        late = query.where(ACCOUNTS.c.next_step == step, ACCOUNTS.c.next_step_at < before).limit(self._limit)
        rows = self._connection.execute(late)
        return found + [judge_lateness(step, row.next_step_at, None, row.id) for row in rows]

    def _late_rows(
        self, step: Step, table: Table, source: FromClause, is_late: ColumnElement[bool]
    ) -> list[Violation]:
        columns = table.c.id, table.c.next_step_at, table.c.lease_until
        query = select(*columns).select_from(source).where(is_late).limit(self._limit)
        rows = self._connection.execute(query)
        return [judge_lateness(step, row.next_step_at, row.lease_until, row.id) for row in rows]

    def _overdue_stops(self, before: datetime) -> list[Violation]:
        """Return overdue stops. A stop is due at its instant, whatever the session's next step is."""
        query = (
            select(SESSIONS.c.id, SESSIONS.c.stop_at)
            .where(SESSIONS.c.next_step.in_(_STOPPABLE), SESSIONS.c.stop_at < before)
            .limit(self._limit)
        )
        rows = self._connection.execute(query)
        return [judge_lateness(Step.STOP, row.stop_at, None, row.id) for row in rows]
