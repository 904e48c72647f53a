"""What money costs the store: writes follow changes, not sessions that run."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.rules.values import Plan, Policy
from tests.money.stage import HOUR, MINUTE, Stage
from tests.store.stage import statements

#: Pings do not matter to money: none is due within these hours.
QUIET = Policy(ping_interval_seconds=86_400, warn_before_stop_seconds=())
ACCOUNTS, SESSIONS_EACH = ("acme", "bob", "corp"), 4


@contextmanager
def running(url: str, block_seconds: int) -> Iterator[Stage]:
    """Return 12 sessions that run, billed in blocks of this length."""
    plan = Plan(name="busy", billing_block_seconds=block_seconds, min_funded_seconds=60)
    stage = Stage(url, policy=QUIET, plans={"busy": plan})
    try:
        stage.reset()
        for account_id in ACCOUNTS:
            stage.open_account(account_id, "busy", "1000")
            for n in range(SESSIONS_EACH):
                stage.done(
                    "session.create",
                    account_id=account_id,
                    model_id="llama",
                    session_id=f"{account_id}{n:02}",
                )
        stage.settle()
        yield stage
    finally:
        stage.close()


_WRITES = re.compile(r"\b(INSERT INTO \w+|UPDATE \w+ SET)\b")


def written(stage: Stage, work: Any) -> Counter[str]:
    """Return how often each table was written, by words of the statement, which may write several."""
    with statements(stage.services.database) as seen:
        work()
    writing = [statement for statement, _ in seen if statement.startswith(("INSERT", "UPDATE", "WITH"))]
    return Counter(write for statement in writing for write in _WRITES.findall(statement))


def entries(stage: Stage) -> int:
    with stage.services.database.reading() as tx:
        return sum(len(tx.ledger.of_account(account_id, limit=10_000)) for account_id in ACCOUNTS)


@pytest.mark.parametrize("block_seconds", [1, 60, 900])
def test_no_block_is_written(database_url: str, block_seconds: int) -> None:
    """Between two postings thousands of blocks begin, and no row is written for them."""
    with running(database_url, block_seconds) as stage:
        before = entries(stage)
        while_it_runs = written(stage, lambda: stage.pass_time(59 * MINUTE))
        assert while_it_runs == {}
        assert entries(stage) == before


def test_an_hour_of_running_writes_one_entry_for_each_session_and_no_more(database_url: str) -> None:
    seen = []
    for block_seconds in (1, 900):
        with running(database_url, block_seconds) as stage:
            before = entries(stage)
            seen.append(written(stage, lambda: stage.pass_time(HOUR)))
            assert entries(stage) - before == len(ACCOUNTS) * SESSIONS_EACH
    assert seen[0] == seen[1], "the length of a block changes nothing of what is written"
    assert seen[0]["INSERT INTO ledger"] == len(ACCOUNTS), "those of an account are written together"


def test_what_changes_within_the_hour_is_what_is_written(database_url: str) -> None:
    """Three of 12 stop: three entries; the others are neither read nor written."""
    with running(database_url, 1) as stage:
        stage.pass_time(10 * MINUTE)
        before = entries(stage)

        def three_stop() -> None:
            for session_id in ("acme00", "acme01", "bob00"):
                stage.done("session.close", session_id=session_id)
            stage.pass_time(10 * MINUTE)

        seen = written(stage, three_stop)
        assert entries(stage) - before == 3
        assert seen["INSERT INTO ledger"] == 3
