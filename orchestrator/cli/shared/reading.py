"""Direct access to the database, for commands that read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Account, Session

if TYPE_CHECKING:
    from orchestrator.rules.installation.clock import KnownTime
    from orchestrator.settings import Configuration
    from orchestrator.store.database import Database
    from orchestrator.store.transaction import Transaction


@contextmanager
def opened() -> Iterator["Database"]:
    """Open the configured database, reachable and migrated. Raises StoreUnavailable."""
    from orchestrator.settings.database import database_url
    from orchestrator.store.database import Database

    database = Database(database_url(), pool_size=1)  # wiring would import every driver
    try:
        database.check()
        yield database
    finally:
        database.dispose()


@contextmanager
def reading() -> Iterator["Transaction"]:
    """Open one transaction that only reads."""
    with opened() as database, database.reading() as tx:
        yield tx


def clock_of(database: "Database", tx: "Transaction") -> "KnownTime | None":
    """Return what processes know of the store's clock, compared with it right now; None if no process has compared it
    yet."""
    known = tx.clock.known()
    return None if known is None else database.time.as_it_is(tx.connection, known)


def configured() -> "Configuration":
    """Return the configuration, without its secrets."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    return wiring.read_configuration(load_settings())


def found_session(tx: "Transaction", session_id: str) -> Session:
    """Return the session, or what is left of a deleted one. Raises Refusal(unknown_session), or Refusal(invalid_state)
    for an archived one."""
    from orchestrator.flows.lifecycle import archived

    session = tx.sessions.get(session_id)
    left = tx.archive.get(session_id) if session is None else None
    if left is not None:
        raise archived.refusal(left)
    if session is None:
        raise Refusal(ErrorCode.UNKNOWN_SESSION, f"session {session_id} is unknown", session_id=session_id)
    return session


def found_account(tx: "Transaction", account_id: str) -> Account:
    """Return the account. Raises Refusal(unknown_account)."""
    account = tx.accounts.get(account_id)
    if account is None:
        raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, f"account {account_id} is unknown", account_id=account_id)
    return account
