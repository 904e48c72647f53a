"""The engine, transactions that are retried after deadlocks, and the one clock."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from orchestrator.rules.states import Step
from orchestrator.store.core.engine import BUSY_SECONDS, open_engine
from orchestrator.store.core.error_classes import OUTAGES, ErrorClass, error_class
from orchestrator.store.core.pooler import is_pooled, timeouts
from orchestrator.store.core.remedies import CHECK_THE_URL, file_fault, remedy
from orchestrator.store.core.stopwatch import Stopwatch, machine_stopwatch
from orchestrator.store.queries.clock import Clock, StoreClock
from orchestrator.store.queries.identity import Identity
from orchestrator.store.transaction import Transaction

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")
log = logging.getLogger(__name__)

#: SQLSTATEs that PostgreSQL calls transient → their names in the metrics.
RETRIABLE_STATES = {
    "40001": "serialization_failure",
    "40P01": "deadlock",
    "55P03": "lock_timeout",
    "57P01": "server_restart",
    "57P02": "server_restart",
    "57P03": "server_restart",
}
#: Every cause of a retry, by its name in the metrics.
CAUSES = frozenset(RETRIABLE_STATES.values()) | {"lost_race", "connection_lost", "locked"}
#: Constraints that two jobs may race for: one credential, name or id. The loser is retried, and gets the proper error.
CONTENDED = (
    "uq_placements_exclusive",
    "placements.provider, placements.credential",
    "uq_placements_secret",
    "placements.provider, placements.fingerprint",
    "uq_placements_handle",
    "placements.provider, placements.handle",
    "uq_sessions_account_name",
    "sessions.account_id, sessions.name",
    "pk_sessions",
    "sessions.id",
    "pk_accounts",
    "accounts.id",
    "pk_models",
    "models.id",
    "pk_credentials",
    "credentials.id",
    "pk_webhooks",
    "webhooks.name",
)
ATTEMPTS = 8
#: The lease row that `check_writes` writes.
WRITE_PROBE = "write_probe"
#: Every error of the database. One that is not a StoreOutage is about one row or statement.
StoreError = SQLAlchemyError


class StoreOutage(SQLAlchemyError):
    """An error that all work meets alike; the same work succeeds once it is over (store/core/error_classes.py). The
    message contains no value of a row and no secret."""

    def __init__(self, meaning: ErrorClass, cause: BaseException) -> None:
        super().__init__(f"{OUTAGES[meaning]} ({type(cause).__name__})")
        self.meaning = meaning
        self.remedy = CHECK_THE_URL


class StoreUnavailable(Exception):
    """The database cannot be reached, or is not migrated. The message names the remedy, without a password."""


class Database:
    """One database, on SQLite or PostgreSQL. Threads may share it; create a new one after a fork."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        stopwatch: Stopwatch | None = None,
        keeps_time: bool = False,
        pool_size: int = 5,
        identity: Identity | None = None,
        pause: Callable[[float], None] = time.sleep,
        gives_up_after: float | None = None,
    ) -> None:
        """Open the engine. `clock`: given by tests; trusted as it is, unless a `stopwatch` is given with it.
        `keeps_time`: this process notes the time for all others. `pause`: waits this many seconds before a
        transaction is retried. `gives_up_after`: after this many seconds no transaction is retried, because a
        client waits for the answer."""
        self.url = make_url(url)
        self.engine = open_engine(url, pool_size, min(BUSY_SECONDS, (gives_up_after or 2 * BUSY_SECONDS) / 2))
        self._gives_up_after = gives_up_after
        self._clock = clock if stopwatch is None else None
        self.time = StoreClock(clock, stopwatch or machine_stopwatch(), keeps=keeps_time)
        self._pause = pause
        self.identity = identity or Identity()
        self.on_commit: Callable[[frozenset[Step]], None] = lambda _steps: None
        """Called after each commit with the steps that it made due."""
        self.on_retry: Callable[[str], None] = lambda _cause: None
        """Called with the cause each time that a transaction is retried."""
        self.on_giving_up: Callable[[str], None] = lambda _cause: None
        """Called with the cause if the last attempt failed too: only the caller can retry it then."""
        self.retries = 0
        """How many transactions were retried."""

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one write transaction and commit it; run it again after a deadlock or a lost race.

        A lost connection at COMMIT leaves the outcome unknown. Running the work again is right, because a key or a
        lease guards every write."""
        import tenacity  # readers retry nothing

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=self._stop(),
            wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.5),
            before_sleep=self._count_retry,
            sleep=self._pause,
            reraise=True,
        )
        result: T
        try:
            result, due = retrying(self.attempt, work)
        except SQLAlchemyError as error:
            cause = _cause(error)
            if cause is not None:
                self.on_giving_up(cause)
            raise self._outage_of(error) or error from error
        if due:
            self.on_commit(due)
        return result

    @contextmanager
    def reading(self, *, at_one_moment: bool = False) -> Iterator[Transaction]:
        """Open a transaction that only reads; its changes are not kept. `at_one_moment`: all its statements see the
        same moment, so that their results may be compared."""
        options: dict[str, Any] = {"orchestrator_read": True}
        if at_one_moment and self.engine.dialect.name == "postgresql":  # SQLite always does so
            options["isolation_level"] = "REPEATABLE READ"
        try:
            self._refresh_time()
            with self.engine.connect().execution_options(**options) as connection:
                yield Transaction(connection, self._clock_of(connection), self.identity)
        except SQLAlchemyError as error:
            raise self._outage_of(error) or error from error

    def _stop(self) -> "tenacity.stop.stop_base":
        import tenacity

        after = tenacity.stop_after_attempt(ATTEMPTS)
        late = self._gives_up_after
        return after if late is None else tenacity.stop_any(after, tenacity.stop_after_delay(late))

    def learn_time(self) -> None:
        """Find out the time before a process begins that notes it for others. This may wait for some seconds."""
        if self._clock is None:
            self.time.learn(self.engine, self._pause)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @property
    def file(self) -> Path | None:
        """The file that holds a SQLite database; None for a server and for one in memory."""
        in_memory = self.url.database in (None, "", ":memory:")
        if self.url.get_backend_name() != "sqlite" or in_memory:
            return None
        return Path(str(self.url.database)).absolute()

    def check(self) -> None:
        """Raise StoreUnavailable where the database does not answer or lacks the tables."""
        path = self.file
        if path is not None and not os.path.exists(path):  # opening it would create an empty file
            fault = file_fault(path)
            raise StoreUnavailable(
                f"the database {path} cannot be opened. {fault}"
                if fault
                else f"the database {path} does not exist: run this where it is, or name it in"
                " ORCHESTRATOR_DATABASE_URL; to make a new one here, run `orchestrator migrate`"
            )
        self._try("SELECT 1 FROM sessions WHERE 1 = 0")

    def check_reachable(self) -> None:
        """Raise StoreUnavailable where the database does not answer."""
        self._try("SELECT 1")

    def check_writes(self) -> None:
        """Write one row and commit it. Raise StoreUnavailable where the database takes no writes."""
        try:
            self.transact(self._write)
        except SQLAlchemyError as error:
            raise StoreUnavailable(self._why(error)) from error

    def prove_writes(self) -> None:
        """Write one row and commit it: success shows that an outage is over. Raises the database's error."""
        self.transact(self._write)

    def timeouts(self) -> tuple[dict[str, str], bool]:
        """Return the timeouts in force at the server, read in an ordinary transaction, and whether a pooler is in
        between. PostgreSQL only."""
        return self.transact(lambda tx: (timeouts(tx.connection), is_pooled(tx.connection)))

    def _write(self, tx: Transaction) -> None:
        tx.leases.hold(WRITE_PROBE, self.identity.new_token(), tx.now(), seconds=0)

    def _try(self, statement: str) -> None:
        try:
            with self.reading() as tx:
                tx.connection.execute(text(statement))
        except SQLAlchemyError as error:
            raise StoreUnavailable(self._why(error)) from error

    def _why(self, error: SQLAlchemyError) -> str:
        bare = self.url.difference_update_query(["password", "sslpassword"])
        where = bare.render_as_string(hide_password=True)
        cause = error.__cause__ if isinstance(error, StoreOutage) else error
        if _lacks_tables(cause):
            return f"the database {where} has no tables yet: run `orchestrator migrate`"
        what = _said(cause)
        outage = error if isinstance(error, StoreOutage) else None
        if outage is not None and outage.remedy != CHECK_THE_URL and self.file is None:
            what = f"{OUTAGES[outage.meaning]}: {what}"
        advice = CHECK_THE_URL if outage is None else outage.remedy
        return f"the database {where} cannot be used: {what}" + (f". {advice}" if advice else "")

    def _outage_of(self, error: SQLAlchemyError) -> StoreOutage | None:
        outage = outage_of(error)
        if outage is not None and outage is not error:
            outage.remedy = remedy(outage.meaning, self.file, _said(error))
        return outage

    def attempt(self, work: Callable[[Transaction], T]) -> tuple[T, frozenset[Step]]:
        """Run one write transaction; return what `work` returned, and the steps that its commit made due."""
        self._refresh_time()
        with self.engine.begin() as connection:
            unit = Transaction(connection, self._clock_of(connection), self.identity, self._lately)
            result = work(unit)
            unit.flush()
        return result, frozenset(unit.due)

    def _count_retry(self, state: "tenacity.RetryCallState") -> None:
        self.retries += 1
        error = state.outcome.exception() if state.outcome else None
        cause = _cause(error) or "unknown"
        self.on_retry(cause)
        log.info("retrying a transaction: %s", cause)

    def _refresh_time(self) -> None:
        if self._clock is None:
            self.time.look(self.engine)

    def _lately(self) -> datetime | None:
        return None if self._clock is not None else self.time.lately()

    def _clock_of(self, connection: Connection) -> Clock:
        return self._clock or self.time.of(connection)


def _is_transient(error: BaseException) -> bool:
    return _cause(error) is not None


def _cause(error: BaseException | None) -> str | None:
    """Return the cause of a transient failure, by its name in the metrics; None for an error that would occur again."""
    if isinstance(error, IntegrityError):
        return "lost_race" if any(name in str(error.orig) for name in CONTENDED) else None
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if state in RETRIABLE_STATES:
        return RETRIABLE_STATES[state]
    if error.connection_invalidated:
        return "connection_lost"
    return "locked" if error_class(error) is ErrorClass.CONTENDED else None


def outage_of(error: BaseException) -> StoreOutage | None:
    """Return the outage that this database error belongs to; None for an error about one row or statement."""
    if isinstance(error, StoreOutage):
        return error
    meaning = error_class(error)
    if meaning is None or meaning not in OUTAGES:
        return None
    return StoreOutage(meaning, getattr(error, "orig", None) or error)


def _said(error: BaseException | None) -> str:
    """Return the first line of the database's own message."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _lacks_tables(error: BaseException | None) -> bool:
    said = str(getattr(error, "orig", error))
    return "no such table" in said or getattr(getattr(error, "orig", None), "sqlstate", None) == "42P01"


def new_token() -> str:
    """Return a lease's token: 96 random bits."""
    return Identity().new_token()
