"""Read numbers in the answers of other parties: money exactly as written, seconds, or None."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

#: Money beyond this is no money: the store keeps millionths in 64 bits.
_BEYOND = Decimal(10) ** 12
#: Nor is what has more decimals: written out, 1E-999999 would fill a megabyte.
_MOST_DECIMALS = 60


def read_decimal(value: Any, unit: Decimal = Decimal(1)) -> Decimal | None:
    """Return a number that can be an amount of money, written as a number or as text, in units; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))  # by its text: the float's own digits are not what was sent
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) >= _BEYOND * unit:
        return None
    _, _, exponent = number.as_tuple()
    return number / unit if isinstance(exponent, int) and exponent >= -_MOST_DECIMALS else None


def read_seconds(value: Any, most: float) -> float | None:
    """Return a JSON number of seconds, between 0 and `most`; None for everything else, NaN among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(min(max(value, 0), most))
