"""Numbers in the answers of other people: money as they wrote it, or nothing."""

from decimal import Decimal, InvalidOperation
from typing import Any

#: Money beyond this is no money: the store keeps millionths in 64 bits.
_BEYOND = Decimal(10) ** 12


def read_decimal(value: Any, unit: Decimal = Decimal(1)) -> Decimal | None:
    """A number of an amount's size, written as a number or as text, in units; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))  # by its text: the float's own digits are not what was sent
    except InvalidOperation:
        return None
    return number / unit if number.is_finite() and abs(number) < _BEYOND * unit else None
