"""Switch off the jitter of pings, so that a hand-moved clock has exact times."""


def no_jitter() -> float:
    """Return no jitter: every ping comes on its beat."""
    return 0.0
