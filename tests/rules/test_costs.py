"""What was spent, burns and is expected, added up."""

from datetime import datetime
from decimal import Decimal

import pytest

from orchestrator.rules.billing.costs import BurningSum, CostLine, CostsBy, RunningCost, SpentSum, added_up
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import State
from tests.rules.builders import HOUR, MINUTE, T0, a_session


def runs(account: str = "acme", *, charged: str = "0", ends_at: datetime | None = T0 + HOUR) -> RunningCost:
    """Return a session that has run for ten minutes, at one a minute."""
    since = T0 - 10 * MINUTE
    session = a_session(
        state=State.RUNNING,
        running_at=since,
        running_since=since,
        price_per_node_hour=Decimal(60),
        charged=Decimal(charged),
    )
    return RunningCost(
        account_id=account,
        model_id="llama",
        provider="alpha",
        currency="USD",
        meter=Metered.of(session),
        ends_at=ends_at,
    )


def amounts(line: CostLine) -> tuple[str | None, str, float, float, float, float]:
    return (
        line.key,
        line.currency,
        float(line.spent),
        float(line.not_yet_charged),
        float(line.burning_per_hour),
        float(line.expected),
    )


def test_what_is_expected_is_what_was_spent_and_what_will_be_charged_until_the_stop() -> None:
    spent = [SpentSum(key="acme", currency="USD", amount=Decimal(8))]
    found = added_up(CostsBy.ACCOUNT, spent, [runs(charged="8")], T0)
    assert [amounts(line) for line in found.lines] == [("acme", "USD", 8, 3, 60, 70)]
    assert [amounts(line) for line in found.totals] == [(None, "USD", 8, 3, 60, 70)]


@pytest.mark.parametrize(
    ("ends_at", "not_charged", "to_come"),
    [
        pytest.param(T0 + 5 * MINUTE, 11, 15, id="a stop to come"),
        pytest.param(T0 - 5 * MINUTE, 5, 5, id="a stop that is due ends its cost"),
        pytest.param(None, 11, 10, id="no stop: it ends now"),
    ],
)
def test_costs_end_at_the_stop(ends_at: datetime | None, not_charged: int, to_come: int) -> None:
    one = runs(ends_at=ends_at)
    assert one.not_yet_charged(T0) == not_charged
    assert one.to_come(T0) == to_come


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        (CostsBy.ACCOUNT, ["b", "a"]),
        (CostsBy.MODEL, ["llama"]),
        (CostsBy.PROVIDER, ["alpha"]),
        (CostsBy.DAY, []),
    ],
)
def test_running_sessions_belong_to_their_account_model_and_provider(by: CostsBy, keys: list[str]) -> None:
    found = added_up(by, [], [runs("a", charged="3"), runs("b")], T0)
    assert [line.key for line in found.lines] == keys, "the highest first"
    assert [line.not_yet_charged for line in found.totals] == [19]


def test_each_currency_has_a_line_and_a_total() -> None:
    spent = [
        SpentSum(key=f"2025-09-{n}", currency=c, amount=Decimal(n)) for n, c in ((15, "USD"), (16, "EUR"))
    ]
    found = added_up(CostsBy.DAY, spent, [], T0)
    assert [(line.key, int(line.spent)) for line in found.lines] == [("2025-09-16", 16), ("2025-09-15", 15)]
    assert [(line.currency, int(line.expected)) for line in found.totals] == [("EUR", 16), ("USD", 15)]


def test_what_the_database_adds_up_of_running_sessions_joins_its_line_and_the_total() -> None:
    spent = [SpentSum(key="llama", currency="USD", amount=Decimal(3))]
    burning = [
        BurningSum(key="llama", currency="USD", per_hour=Decimal(2)),
        BurningSum(key="other", currency="USD", per_hour=Decimal(1)),
    ]
    report = added_up(CostsBy.MODEL, spent, (), T0, burning)
    assert [(line.key, line.spent, line.burning_per_hour) for line in report.lines] == [
        ("llama", Decimal(3), Decimal(2)),
        ("other", Decimal(0), Decimal(1)),
    ]
    assert [line.burning_per_hour for line in report.totals] == [Decimal(3)]
    by_day = added_up(CostsBy.DAY, (), (), T0, [BurningSum(key=None, currency="USD", per_hour=Decimal(2))])
    assert by_day.lines == []
    assert [line.burning_per_hour for line in by_day.totals] == [Decimal(2)]
