"""The longest time that is reckoned with: a hundred years."""

from datetime import timedelta

#: A longer limit counts as this, so that no sum leaves the calendar; an end beyond this counts as no end.
HORIZON = timedelta(days=36525)
