"""The one backoff, of everything that is tried again: it doubles up to a cap."""

#: More doublings change nothing: each cap is reached before.
_DOUBLINGS = 30


def backoff(first: float, doublings: int, last: float) -> float:
    """Return `first`, doubled this many times, and at most `last`. Seconds."""
    return min(first * 2.0 ** min(doublings, _DOUBLINGS), last)
