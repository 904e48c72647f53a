"""Numbers in foreign answers."""

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.providers.shared.numbers import read_decimal


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("0.000123", Decimal("0.000123")),
        (1.5e-10, Decimal("1.5e-10")),
        (-3, Decimal(-3)),
        ("1e-999999", None),
        ("0e-999999", None),
        ("1e999999", None),
        ("NaN", None),
        ("Infinity", None),
        (True, None),
        ("much", None),
        (None, None),
        ([], None),
    ],
)
def test_an_amount_is_a_number_that_can_be_written_out(written: Any, amount: Decimal | None) -> None:
    assert read_decimal(written) == amount


def test_the_smallest_unit_of_a_coin_is_an_amount() -> None:
    assert read_decimal("1", Decimal(10) ** 18) == Decimal("1e-18")
