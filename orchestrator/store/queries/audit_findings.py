"""Saved state of the audit: how far each feed was read, sums of ledgers, and open violations."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, tuple_

from orchestrator.rules.audit.invariants import Invariant, Violation
from orchestrator.store.core.bulk import put_rows
from orchestrator.store.plain import table_of
from orchestrator.store.queries.audit import BALANCES, Posted

#: Cursors: up to when events were deleted, and the last run.
EVENTS_SINCE, RAN = "events_since", "ran"
FINDINGS, CURSORS = table_of("audit_findings"), table_of("audit_cursors")


@dataclass(frozen=True, slots=True)
class StandingViolation:
    """A violation, and when it was first found."""

    finding: Violation
    since: datetime


class Findings:
    """Queries of the audit's saved state, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def cursors(self) -> Mapping[str, str]:
        """Return how far each feed has been read."""
        return {row.name: row.position for row in self._connection.execute(select(CURSORS))}

    def last_run(self) -> datetime | None:
        """Return when the audit last finished a run."""
        query = select(CURSORS.c.at).where(CURSORS.c.name == RAN)
        at: datetime | None = self._connection.execute(query).scalar()
        return at

    def events_since(self) -> datetime | None:
        """Return the time of the newest event that was deleted; None if none ever was."""
        query = select(CURSORS.c.position).where(CURSORS.c.name == EVENTS_SINCE)
        position: str | None = self._connection.execute(query).scalar()
        return datetime.fromisoformat(position) if position else None

    def standing(self, limit: int) -> Sequence[StandingViolation]:
        """Return the open violations, oldest first."""
        known = [check.value for check in Invariant]  # an older or newer release may know others
        query = select(FINDINGS).where(FINDINGS.c.name.in_(known)).order_by(FINDINGS.c.since).limit(limit)
        return [
            StandingViolation(Violation(Invariant(row.name), row.subject, row.detail), row.since)
            for row in self._connection.execute(query)
        ]

    def counts(self) -> dict[str, int]:
        """Return how many violations are open, by check; checks without any are left out."""
        query = select(FINDINGS.c.name, func.count()).group_by(FINDINGS.c.name)
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def move(self, cursors: Mapping[str, str], now: datetime) -> None:
        """Save how far the feeds have been read."""
        rows = [{"name": name, "position": position, "at": now} for name, position in sorted(cursors.items())]
        put_rows(self._connection, CURSORS, ["name"], rows)

    def remember_ledgers(self, posted: Mapping[str, Posted]) -> None:
        """Save the sums of these ledgers."""
        rows = [
            {"account_id": account_id, "ledger_id": sum_.ledger_id, "balance": sum_.balance}
            for account_id, sum_ in sorted(posted.items())
        ]
        put_rows(self._connection, BALANCES, ["account_id"], rows)

    def replace(self, gone: Collection[Violation], found: Iterable[Violation], now: datetime) -> None:
        """Save the open violations: delete those that are gone, and keep or add those that were found. Of several with
        one check and subject, the last is kept."""
        keys = [(finding.check.value, finding.subject) for finding in gone]
        if keys:
            mine = tuple_(FINDINGS.c.name, FINDINGS.c.subject).in_(keys)
            self._connection.execute(delete(FINDINGS).where(mine))
        last = {(f.check.value, f.subject): f.detail for f in found}
        rows = [
            {"name": name, "subject": subject, "detail": detail, "since": now}
            for (name, subject), detail in last.items()
        ]
        put_rows(self._connection, FINDINGS, ["name", "subject"], rows, kept=["since"])
