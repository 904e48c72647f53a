"""Numbers in the answers of other people: money as they wrote it, or nothing."""

from decimal import Decimal, InvalidOperation
from typing import Any


def read_decimal(value: Any) -> Decimal | None:
    """A finite number, written as a number or as text; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))  # by its text: the float's own digits are not what was sent
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
