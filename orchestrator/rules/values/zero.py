"""No money."""

from decimal import Decimal

ZERO = Decimal(0)
