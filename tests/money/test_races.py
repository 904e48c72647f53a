"""Races of real processes on PostgreSQL: quotas hold to the session and money to the millionth."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.values import Session
from tests.money import books, gate, race
from tests.money.conftest import staged
from tests.money.history import History
from tests.money.race import Job
from tests.money.stage import Stage
from tests.money.terms import terms_of
from tests.world import START

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def arena(postgres_url: str) -> Iterator[tuple[str, Stage, History]]:
    with staged(postgres_url) as (stage, history):
        stage.reset()
        history.reset()
        yield postgres_url, stage, history


def create(n: int, **kwargs: Any) -> Job:
    asked = {"account_id": "acme", "model_id": "llama", "session_id": f"s{n:03}"} | kwargs
    return Job(name="session.create", kwargs=asked, task_id=f"create-{n}")


def states(stage: Stage, account_id: str = "acme") -> Counter[str]:
    return Counter(session.state.value for session in sessions(stage, account_id))


def sessions(stage: Stage, account_id: str = "acme") -> list[Session]:
    with stage.services.database.reading() as tx:
        return list(tx.sessions.listed(account_id=account_id, limit=1000))


def test_of_200_creates_exactly_2_start(arena: tuple[str, Stage, History]) -> None:
    url, stage, _ = arena
    stage.open_account("acme", "payg", "100")
    outcomes = race.run(url, [create(n) for n in range(200)])
    assert len(outcomes.results()) == 2
    assert Counter(outcomes.codes()) == {"quota_concurrent_exceeded": 198}
    assert states(stage) == {"starting": 2}


def test_of_200_creates_that_may_wait_exactly_20_are_kept(arena: tuple[str, Stage, History]) -> None:
    url, stage, _ = arena
    stage.open_account("acme", "payg", "100")
    outcomes = race.run(url, [create(n, on_quota="queue") for n in range(200)])
    assert len(outcomes.results()) == 20
    assert Counter(outcomes.codes()) == {"quota_total_exceeded": 180}
    assert states(stage) == {"starting": 2, "queued": 18}


def test_of_200_creates_of_both_kinds_2_start_and_20_are_kept(arena: tuple[str, Stage, History]) -> None:
    url, stage, _ = arena
    stage.open_account("acme", "payg", "100")
    outcomes = race.run(url, [create(n, on_quota=["queue", "reject"][n // 8 % 2]) for n in range(200)])
    assert states(stage) == {"starting": 2, "queued": 18}
    assert len(outcomes.results()) == 20


def test_50_credits_at_once_add_up_to_the_distinct_ones(arena: tuple[str, Stage, History]) -> None:
    url, stage, _ = arena
    stage.open_account("acme", "payg", "1")
    amounts = [f"0.{n:06}" for n in range(1, 51)]

    def credit(n: int) -> Job:
        kwargs = {"account_id": "acme", "currency": "USD", "amount": amounts[n % 40], "key": f"key-{n % 40}"}
        return Job(name="account.credit", kwargs=kwargs, task_id=f"credit-{n}")

    outcomes = race.run(url, [credit(n) for n in range(50)])
    assert len(outcomes.results()) == 50
    assert stage.balance("acme") == 1 + sum(map(Decimal, amounts[:40]))


@pytest.mark.parametrize(
    ("balance", "overdraft", "started"),
    [("0.300000", "0", 1), ("0.299999", "0", 0), ("0.200000", "2.5", 9), ("0.199999", "2.5", 8)],
)
def test_the_last_cent_starts_as_many_as_it_pays(
    arena: tuple[str, Stage, History], balance: str, overdraft: str, started: int
) -> None:
    """A block of 900 s at 1.20 an hour costs 0.30."""
    url, stage, _ = arena
    stage.open_account("acme", "wide", balance)
    stage.done("account.put", account_id="acme", plan="wide", currency="USD", overdraft_limit=overdraft)
    outcomes = race.run(url, [create(n) for n in range(48)])
    assert len(outcomes.results()) == started
    assert Counter(outcomes.codes()) == {"insufficient_balance": 48 - started}


def _of_every_kind(n: int) -> Job:
    """Return creates, then closes, credits, reports and extensions of what others create, all accounts mixed."""
    account = ["acme", "bob", "corp"][n % 3]
    mine, other = f"s{n % 40:03}", f"s{(n * 7) % 40:03}"
    batch = [{"session_id": one, "count": 1} for one in (other, mine)]
    deeds: list[tuple[str, dict[str, Any]]] = [
        (
            "session.create",
            {"account_id": account, "model_id": "llama", "session_id": mine, "on_quota": "queue"},
        ),
        ("session.record_interactions", {"batch": batch}),
        ("account.credit", {"account_id": account, "amount": "0.05", "currency": "USD", "key": f"k{n % 60}"}),
        ("session.close", {"session_id": other}),
        ("session.extend", {"session_id": mine, "max_duration_seconds": 4000}),
        ("session.delete", {"session_id": other}),
    ]
    name, kwargs = deeds[n // 40 % len(deeds)]
    return Job(name=name, kwargs=kwargs, task_id=f"task-{n}")


def test_jobs_of_every_kind_and_all_workers_at_once_leave_the_books_in_order(
    arena: tuple[str, Stage, History],
) -> None:
    url, stage, history = arena
    plans = {"acme": "small", "bob": "odd", "corp": "wide"}
    for account_id, plan in plans.items():
        stage.open_account(account_id, plan, "2")
    outcomes = race.run(url, [_of_every_kind(n) for n in range(480)], seconds_per_job=3, works=True)
    assert len(outcomes.by_task) == 480
    terms = {account_id: terms_of(plan, {}, None) for account_id, plan in plans.items()}
    for event in history.look():
        gate.judge(history, event, terms, timedelta(days=1))
    stage.clock.now = START + timedelta(seconds=3 * 480)
    stage.settle()
    for event in history.look():
        gate.judge(history, event, terms, timedelta(days=1))
    history.read_rows()
    overdraft = {name: books.Overdraft(one.overdraft) for name, one in terms.items()}
    books.check_books(history, stage.clock.now, overdraft, settled=True)
    assert any(life.runs for life in history.lives.values())
