"""The one capped exponential backoff."""

#: More doublings change nothing: each cap is reached long before.
_DOUBLINGS = 20


def backoff(first: float, doublings: int, last: float) -> float:
    """Return `first`, doubled so many times, and at most `last`. Seconds."""
    return min(first * 2.0 ** min(doublings, _DOUBLINGS), last)
