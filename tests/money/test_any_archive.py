"""Whatever life there was, whenever it is archived: every number that an account shows stays as it was."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from orchestrator.flows.archive_sessions import Removal
from orchestrator.flows.auditor import archived_money as read_archived_money
from orchestrator.flows.read_account import forecast, with_quota
from orchestrator.rules.judge_archive import archived_money
from orchestrator.rules.retention import SessionRetention
from orchestrator.store.archive_records import digest_of
from orchestrator.store.unit import Transaction
from tests.money.conftest import staged
from tests.money.machine import MoneyMachine
from tests.money.stage import SECOND, Stage
from tests.money.wishes import ACCOUNTS

SOME = settings(
    max_examples=4,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

LEAVING = (SessionRetention.ARCHIVE, SessionRetention.DELETE)


class Undone(Exception):
    """The archive was looked at, and life goes on without it."""


def numbers(tx: Transaction, stage: Stage) -> dict[str, Any]:
    """What every account shows of its money and quota, and what the metrics count."""
    found: dict[str, Any] = {"states": sorted(tx.sessions.count_by_state(), key=str)}
    now, config = stage.clock.now, stage.services.config
    for account_id in ACCOUNTS:
        account = tx.accounts.get(account_id)
        assert account is not None
        shown = with_quota(tx, config, account, now)
        quota = {name: (row["used"], row.get("allowed")) for name, row in shown.pop("quota").items()}
        del shown["sessions"]
        posted = tx.ledger.balance(account_id)
        assert posted == account.balance
        found[account_id] = (shown, quota, posted, forecast(tx, config, account, now))
    return found


def archive_for_a_moment(stage: Stage, retention: SessionRetention) -> int:
    """Archive everything that is over, compare every number, and undo it; return how many sessions left."""
    left = 0

    def archive(tx: Transaction) -> None:
        nonlocal left
        before, now = numbers(tx, stage), tx.now()
        found = tx.retention.candidates(now + SECOND, 10_000)
        for account_id in ACCOUNTS:
            ids = [one.id for one in found if one.account_id == account_id]
            sessions = tx.retention.lock(ids, now + SECOND)
            if sessions:
                Removal(tx, account_id, sessions, now).carry_out(retention)
        left = len(found)
        tx.flush()
        assert numbers(tx, stage) == before
        for money in read_archived_money(tx, list(ACCOUNTS), whole=True).values():
            assert list(archived_money(money)) == []
        _whole(tx, [one.id for one in found])
        raise Undone

    with pytest.raises(Undone):
        stage.services.database.transact(archive)
    return left


def _whole(tx: Transaction, ids: list[str]) -> None:
    entries = tx.archive.entries(ids)
    for session_id, tombstone in tx.archive.of(ids).items():
        if tombstone.record is not None:
            assert digest_of(tombstone.record, entries[session_id]) == tombstone.digest


class ArchivingMachine(MoneyMachine):
    """The machine of money, in which at any time everything that is over may be archived."""

    @rule(retention=st.sampled_from(LEAVING))
    def archive(self, retention: SessionRetention) -> None:
        self.counts[retention] += archive_for_a_moment(self.stage, retention)


@pytest.mark.timeout(900)
def test_no_number_changes_whatever_is_archived_at_whatever_time(database_url: str) -> None:
    counts = Counter[str]()
    with staged(database_url) as (stage, history):
        here = {"stage": stage, "history": history, "counts": counts}
        machine = type("ArchivingHere", (ArchivingMachine,), here)
        run_state_machine_as_test(machine, settings=SOME)
        for retention in LEAVING:  # the last life, as it ended
            counts[retention] += archive_for_a_moment(stage, retention)
    left = {retention: counts[retention] for retention in LEAVING}
    assert all(left.values()), left
