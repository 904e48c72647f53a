"""How large a run is."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """`scale` multiplies numbers of rows and messages, `rounds` is how often A and B alternate."""

    scale: float = 1.0
    rounds: int = 3

    def rows(self, full: int, least: int = 1) -> int:
        """Return how many of what a full run has `full` of."""
        return max(round(full * self.scale), least)


#: Everything in under half an hour.
FULL = Size()
#: Everything in under three minutes.
QUICK = Size(scale=0.1, rounds=1)
