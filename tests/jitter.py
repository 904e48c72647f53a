"""Pings without jitter, so that a hand-moved clock knows when each comes."""


def no_jitter() -> float:
    """Return no jitter: every ping comes on its beat."""
    return 0.0
