"""The costs of a day are compared with its entries, by model and provider where these are still known."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from orchestrator.rules.audit.check_costs import ChargedSum, CostDay, CostDayFacts, cost_day, judge_costs
from orchestrator.rules.audit.invariants import Invariant

DAY = CostDay("acme/eu", date(2026, 3, 1))


def some(
    amount: str, entries: int = 1, *, model_id: str | None = "llama", provider: str | None = "alpha"
) -> ChargedSum:
    return ChargedSum(
        currency="USD", model_id=model_id, provider=provider, amount=Decimal(amount), entries=entries
    )


@pytest.mark.parametrize(
    ("counted", "posted", "problems"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param([some("3", 2)], [some("3", 2)], [], id="equal"),
        pytest.param(
            [],
            [some("3")],
            ["0.00 in 0 entries counted of model llama at alpha, the ledger has 3.00 in 1 entry"],
            id="never counted",
        ),
        pytest.param(
            [some("3", 2)],
            [some("3")],
            ["3.00 in 2 entries counted of model llama at alpha, the ledger has 3.00 in 1 entry"],
            id="counted twice",
        ),
        pytest.param(
            [some("3", provider="")],
            [some("3")],
            [
                "3.00 in 1 entry counted of model llama at -, the ledger has 0.00 in 0 entries",
                "0.00 in 0 entries counted of model llama at alpha, the ledger has 3.00 in 1 entry",
            ],
            id="at another provider",
        ),
        pytest.param(
            [some("1"), some("2", provider="beta")],
            [some("3", 2, provider=None)],
            [],
            id="a session that had two providers",
        ),
        pytest.param(
            [some("1"), some("2", provider="beta"), some("4", model_id="other", provider="beta")],
            [some("3", 3, provider=None), some("4", model_id="other")],
            [
                "3.00 in 2 entries counted of model llama, the ledger has 3.00 in 3 entries",
                "0.00 in 0 entries counted of model other at alpha, the ledger has 4.00 in 1 entry",
                "4.00 in 1 entry counted of model other at beta, the ledger has 0.00 in 0 entries",
            ],
            id="only its model is compared as a whole",
        ),
        pytest.param(
            [some("3"), some("4", model_id="other")],
            [some("3"), some("4", model_id=None, provider=None)],
            [],
            id="a session whose model is not known any more",
        ),
        pytest.param(
            [some("3")],
            [some("3"), some("4", model_id=None, provider=None)],
            ["3.00 in 1 entry counted, the ledger has 7.00 in 2 entries"],
            id="then the day is compared as a whole",
        ),
    ],
)
def test_a_day_is_what_its_entries_add_up_to(
    counted: Sequence[ChargedSum], posted: Sequence[ChargedSum], problems: Sequence[str]
) -> None:
    found = list(judge_costs(CostDayFacts(of=DAY, counted=counted, posted=posted)))
    assert sorted(finding.detail for finding in found) == sorted(problems)
    assert {finding.key for finding in found} <= {(Invariant.DAILY_COSTS, "acme/eu/2026-03-01")}


@pytest.mark.parametrize("subject", ["", "acme", "2026-03-01", "acme/x", "s-1"])
def test_other_subjects_name_no_day(subject: str) -> None:
    assert cost_day(subject) is None
    assert cost_day(DAY.subject) == DAY
