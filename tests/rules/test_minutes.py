"""Counts of a minute, and which minute is over."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from orchestrator.rules.installation.minutes import SETTLED_AFTER, minute_of, over_by, ping_counts
from orchestrator.rules.values import PingCounts, Verdict
from tests.rules.builders import MINUTE, SECOND, T0


def test_every_verdict_has_a_count_of_its_own() -> None:
    counted = ping_counts([(verdict, 1) for verdict in Verdict])
    assert counted.by_verdict == dict.fromkeys(Verdict, 1)


def test_pings_are_summed_and_the_slowest_is_kept() -> None:
    answers = [(Verdict.ALIVE, 20), (Verdict.ALIVE, 500), (Verdict.GONE, -3)]
    counted = ping_counts(answers, tokens=5, cost_usd=Decimal("0.1"), began=[3 * SECOND, SECOND])
    assert (counted.pings_alive, counted.pings_gone, counted.pings_loading) == (2, 1, 0)
    assert (counted.ping_ms, counted.ping_most_ms, counted.tokens) == (520, 500, 5)
    assert counted.cost_usd == Decimal("0.1")
    assert (counted.began_running, counted.until_running_ms, counted.until_running_most_ms) == (2, 4000, 3000)
    assert ping_counts([]) == PingCounts()
    assert ping_counts([], began=[-SECOND]).until_running_ms == 0, "a clock that was set back"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(T0, T0 - 2 * MINUTE, id="it has just ended"),
        pytest.param(
            T0 + SETTLED_AFTER - timedelta(microseconds=1), T0 - 2 * MINUTE, id="it may be committed yet"
        ),
        pytest.param(T0 + SETTLED_AFTER, T0 - MINUTE, id="it is settled"),
        pytest.param(T0 + MINUTE, T0 - MINUTE, id="the next one has just ended"),
    ],
)
def test_a_minute_is_over_once_it_is_settled(now: datetime, expected: datetime) -> None:
    assert minute_of(T0) == T0
    assert over_by(now) == expected
