"""The same life with workers and without: totals and stops are the same, to the millionth and the microsecond."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.money.platforms import Mood
from tests.money.stage import Stage
from tests.money.strategies import amounts, stops, totals
from tests.money.terms import POLICY
from tests.world import HOUR

pytestmark = pytest.mark.long

DAY = 24 * HOUR
Deed = tuple[str, dict[str, Any]]

gaps = st.one_of(st.integers(1, 900), st.integers(1, 6 * 3600)).map(lambda n: timedelta(seconds=n))
reports = st.integers(1, 4).map(lambda n: ("record_interactions", {"count": n}))
credits_ = amounts.map(lambda amount: ("credit", {"amount": amount}))
deeds = st.one_of(
    reports, credits_, totals.map(lambda more: ("extend", more)), st.just(("close", dict[str, Any]()))
)


@dataclass(frozen=True)
class Story:
    """A few sessions that run, and what happens to them, with gaps in which workers may be down."""

    plan: str
    balance: str
    sessions: list[tuple[str, dict[str, Any]]]
    deeds: list[tuple[timedelta, Deed, int]]
    ends_early: bool


stories = st.builds(
    Story,
    plan=st.sampled_from(["odd", "wide"]),
    balance=st.sampled_from(["0.5", "2", "7.654321", "500"]),
    sessions=st.lists(st.tuples(st.sampled_from(["llama", "fleet", "gift"]), stops), min_size=1, max_size=3),
    deeds=st.lists(st.tuples(gaps, deeds, st.integers(0, 2)), max_size=5),
    ends_early=st.booleans(),
)
#: Pings of a day without faults do not matter to money.
QUIET = replace(POLICY, ping_interval_seconds=7200)
End = tuple[str, str | None, datetime | None, Decimal]


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url, policy=QUIET)
    yield stage
    stage.close()


def ends(stage: Stage, story: Story, downs: list[bool]) -> tuple[list[End], Decimal]:
    """Return how every session ended, what it cost, and what is left, a day after the last step."""
    stage.reset()
    stage.drivers["fleet"].mood = Mood.ENDS_EARLY if story.ends_early else Mood.WELL
    stage.open_account("acme", story.plan, story.balance)
    for n, (model_id, stop) in enumerate(story.sessions):
        stage.send("session.create", account_id="acme", model_id=model_id, session_id=f"s{n}", stop=stop)
    stage.settle()
    for n, (gap, deed, which) in enumerate(story.deeds):
        pass_time(stage, gap, down=downs[n])
        send(stage, n, deed, f"s{which}")
    pass_time(stage, DAY, down=downs[-1])
    stage.settle()
    with stage.services.database.reading() as tx:
        found = sorted(tx.sessions.listed(account_id="acme"), key=lambda session: session.id)
    return [(s.id, s.stop_reason, s.stopped_at, s.charged) for s in found], stage.balance("acme")


def pass_time(stage: Stage, span: timedelta, *, down: bool) -> None:
    if down:
        stage.jump(span)
    else:
        stage.pass_time(span)


def send(stage: Stage, n: int, deed: Deed, session_id: str) -> None:
    name, kwargs = deed
    match name:
        case "credit":
            stage.send("account.credit", account_id="acme", currency="USD", key=f"k{n}", **kwargs)
        case "record_interactions":
            stage.send("session.record_interactions", batch=[{"session_id": session_id, **kwargs}])
        case _:
            stage.send(f"session.{name}", session_id=session_id, **kwargs)


@pytest.mark.timeout(600)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(story=stories, downs=st.lists(st.booleans(), min_size=5, max_size=5))
def test_workers_that_were_down_post_the_same_totals(stage: Stage, story: Story, downs: list[bool]) -> None:
    """The last day is always one without workers."""
    working = ends(stage, story, [False] * 6)
    note(f"with workers: {working}")
    assert ends(stage, story, [*downs, True]) == working


def test_a_whole_life_without_any_worker_costs_the_same(stage: Stage) -> None:
    """A session that is not stopped for a day pays until its limit, and the one without funds until its last block,
    which is the last that the overdraft of 2.50 can pay."""
    story = Story("wide", "12.9", [("fleet", {"max_duration_seconds": 2000}), ("llama", {})], [], False)
    working = ends(stage, story, [False])
    assert ends(stage, story, [True]) == working
    (_, first, _, cost), (_, second, _, rest) = working[0]
    assert (first, cost) == ("max_duration", Decimal("9.375"))
    assert (second, rest, working[1]) == ("balance_exhausted", Decimal("6"), Decimal("-2.475"))
