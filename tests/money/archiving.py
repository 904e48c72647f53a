"""Archive everything that is over, compare every number that accounts show, and undo it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orchestrator.flows.audit.auditor import archived_money as read_archived_money
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import Removal
from orchestrator.flows.reports.account_view import forecast, with_quota
from orchestrator.rules.audit.check_archive import archived_money
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.settings import Configuration
from orchestrator.store.queries.archive_records import digest_of
from orchestrator.store.transaction import Transaction
from tests.world import SECOND

LEAVING = (SessionRetention.ARCHIVE, SessionRetention.DELETE)


class Undone(Exception):
    """Rolls the archive back after the check."""


def archive_for_a_moment(services: Services, retention: SessionRetention) -> int:
    """Return how many sessions left. Raises AssertionError if a number changed, or the archive is incomplete."""
    left = 0

    def archive(tx: Transaction) -> None:
        nonlocal left
        now, accounts = tx.now(), [one.id for one in tx.accounts.listed()]
        before = _numbers(tx, services.config, accounts, now)
        found = tx.retention.candidates(now + SECOND, 10_000)
        for account_id in accounts:
            ids = [one.id for one in found if one.account_id == account_id]
            sessions = tx.retention.lock(ids, now + SECOND)
            if sessions:
                Removal(tx, account_id, sessions, now).carry_out(retention)
        left = len(found)
        assert _numbers(tx, services.config, accounts, now) == before
        for money in read_archived_money(tx, accounts, whole=True).values():
            assert list(archived_money(money)) == []
        _is_whole(tx, [one.id for one in found])
        raise Undone

    try:
        services.database.transact(archive)
    except Undone:
        return left
    raise AssertionError("it was not undone")


def _numbers(
    tx: Transaction, config: Configuration, accounts: Sequence[str], now: datetime
) -> dict[str, Any]:
    """Return what every account shows of its money and quota, and what the metrics count."""
    found: dict[str, Any] = {"states": sorted(tx.sessions.count_by_state(), key=str)}
    for account_id in accounts:
        account = tx.accounts.get(account_id)
        assert account is not None
        shown = with_quota(tx, config, account, now)
        quota = {name: (row["used"], row.get("allowed")) for name, row in shown.pop("quota").items()}
        del shown["sessions"]
        posted = tx.ledger.balance(account_id)
        assert posted == account.balance
        found[account_id] = (shown, quota, posted, forecast(tx, config, account, now))
    return found


def _is_whole(tx: Transaction, ids: Sequence[str]) -> None:
    entries = tx.archive.entries(ids)
    for session_id, tombstone in tx.archive.of(ids).items():
        if tombstone.record is not None:
            assert digest_of(tombstone.record, entries[session_id]) == tombstone.digest
