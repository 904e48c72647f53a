"""Received jobs, each with its one outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.core.gathering import Gathering
from orchestrator.store.plain import table_of

INBOX = table_of("inbox")


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownJob:
    """A job that was received before."""

    name: str
    fingerprint: str | None
    """The fingerprint of its arguments; None: an earlier release received it, or they have none."""
    outcome: Mapping[str, Any] | None
    """None while it is under way, account by account."""
    parts: Mapping[str, Any] | None = None
    """Results of the accounts that are done, by their ids."""
    received_at: datetime | None = None
    author: str | None = None
    """The name of the API token that sent it; None: it came from the broker."""

    def is_another(self, name: str, fingerprint: str | None) -> bool:
        """Return whether this job has another name or other arguments. If either has no fingerprint, only the names are
        compared."""
        differ = None not in (self.fingerprint, fingerprint) and self.fingerprint != fingerprint
        return self.name != name or differ


def _take(dialect: Any) -> Any:
    """Return the statement that records a job; built once, as it comes with each job."""
    columns = ("task_id", "name", "fingerprint", "received_at", "author")
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    taken = dialect.insert(INBOX).values(values).on_conflict_do_nothing(index_elements=["task_id"])
    return taken.returning(INBOX.c.task_id)  # psycopg reports no row count of an insert


_TAKE = MappingProxyType({"postgresql": _take(postgresql), "sqlite": _take(sqlite)})
_SETTLE = (
    update(INBOX)
    .where(INBOX.c.task_id == bindparam("its_id"))
    .values(outcome=bindparam("outcome"), parts=bindparam("parts"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedJob:
    """A job in a list."""

    task_id: str
    name: str
    received_at: datetime
    author: str | None
    outcome: Mapping[str, Any] | None


class Inbox:
    """Queries of the inbox, inside one transaction."""

    def __init__(self, connection: Connection, writes: Gathering) -> None:
        self._connection, self._writes = connection, writes

    def record(self, job: ListedJob, fingerprint: str | None) -> None:
        """Record a job with its outcome, in the transaction of the effect. Raises AlreadyThere, at once or at the end
        of the transaction, if its task id is known; waits first if another process does that job now."""
        self._writes.insert_new(
            INBOX,
            {
                "task_id": job.task_id,
                "name": job.name,
                "fingerprint": fingerprint,
                "received_at": job.received_at,
                "author": job.author,
                "outcome": job.outcome,
            },
        )

    def take(
        self,
        task_id: str,
        name: str,
        now: datetime,
        fingerprint: str | None = None,
        author: str | None = None,
    ) -> bool:
        """Record the job as ours, with the name of its author. Return False if it is recorded already; wait first if
        another process does it now."""
        job = {
            "task_id": task_id,
            "name": name,
            "fingerprint": fingerprint,
            "received_at": now,
            "author": author,
        }
        taken = self._connection.execute(_TAKE[self._connection.dialect.name], job)
        return taken.first() is not None

    def known(self, task_id: str) -> KnownJob | None:
        """Return the job under this task id, with its outcome; None if it is unknown."""
        return self._read(_job(task_id))

    def lock(self, task_id: str) -> KnownJob | None:
        """Return the same, locked, so that no other process does a part of it now."""
        return self._read(_job(task_id).with_for_update())

    def newest(self, limit: int, before: datetime | None = None) -> Sequence[ListedJob]:
        """Return the jobs that were received last, the newest first; `before`: only earlier ones."""
        columns = (INBOX.c.task_id, INBOX.c.name, INBOX.c.received_at, INBOX.c.author, INBOX.c.outcome)
        query = select(*columns).order_by(INBOX.c.received_at.desc()).limit(limit)
        if before is not None:
            query = query.where(INBOX.c.received_at < before)
        return [ListedJob(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001

    def outcome(self, task_id: str) -> Mapping[str, Any] | None:
        """Return the job's outcome; None if the job is unknown."""
        found: Mapping[str, Any] | None = self._connection.execute(
            select(INBOX.c.outcome).where(INBOX.c.task_id == task_id)
        ).scalar()
        return found

    def settle(self, task_id: str, outcome: Mapping[str, Any]) -> None:
        """Save the outcome, in the transaction of the effect."""
        self._connection.execute(_SETTLE, {"its_id": task_id, "outcome": outcome, "parts": None})

    def keep_parts(self, task_id: str, parts: Mapping[str, Any]) -> None:
        """Save the results of accounts that are done, in the transaction of the last of these."""
        self._connection.execute(update(INBOX).where(INBOX.c.task_id == task_id).values(parts=parts))

    def oldest(self) -> datetime | None:
        """Return when the oldest saved job was received."""
        at: datetime | None = self._connection.execute(select(func.min(INBOX.c.received_at))).scalar()
        return at

    def forget_before(self, at: datetime, limit: int = 5_000) -> int:
        """Delete at most `limit` outcomes from before then; return how many."""
        old = select(INBOX.c.task_id).where(INBOX.c.received_at < at).limit(limit)
        return self._connection.execute(delete(INBOX).where(INBOX.c.task_id.in_(old))).rowcount

    def _read(self, query: Select[Any]) -> KnownJob | None:
        row = self._connection.execute(query).mappings().first()
        return KnownJob(**row) if row is not None else None


def _job(task_id: str) -> Select[Any]:
    job = INBOX.c.name, INBOX.c.fingerprint, INBOX.c.outcome, INBOX.c.parts
    return select(*job, INBOX.c.received_at, INBOX.c.author).where(INBOX.c.task_id == task_id)
