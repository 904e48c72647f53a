"""The amount of no money."""

from decimal import Decimal

ZERO = Decimal(0)
