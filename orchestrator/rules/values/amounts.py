"""No money, and money as it leaves: one format for events, outcomes, answers, messages and logs."""

from decimal import Decimal

ZERO = Decimal(0)


def money_text(amount: Decimal) -> str:
    """Return a decimal text with two places, or as many more as the amount needs: 0.00, 1.50, 0.000125."""
    whole, _, fraction = f"{amount or abs(amount):f}".partition(".")  # without the sign of -0
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
