"""A place in the order of events, as clients keep it between two requests.

A transaction that commits late has an earlier place than events that were read already. So a position holds the last
place that was read, and the places before it that were still empty: a client that resumes misses none of them, and
gets none twice."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

#: A place that is empty after this was rolled back: no transaction lasts this long.
GIVE_UP_AFTER = timedelta(seconds=90)
#: Empty places that are remembered; more at once were lost in a jump of the sequence.
MOST_GAPS = 100
_TEXT = re.compile(r"[0-9]{1,18}(@[0-9]{1,12}(\.[0-9]{1,18}){1,100})?")


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `after` was read, except the places in `gaps`."""

    after: int
    gaps: frozenset[int] = field(default_factory=frozenset)
    noted: int = 0
    """When the newest gap was found, in seconds of the epoch."""

    def has(self, place: int) -> bool:
        """Return whether the event at this place was read."""
        return place <= self.after and place not in self.gaps

    def read(self, place: int, now: datetime, at: datetime) -> "Position":
        """Return the position after the event at this place, which happened at `at`, was read."""
        if place <= self.after:
            return replace(self, gaps=self.gaps - {place})
        gaps, noted = self.gaps, self.noted
        if now - at <= GIVE_UP_AFTER:
            skipped = range(max(self.after + 1, place - MOST_GAPS), place)
            if skipped:
                gaps = frozenset(sorted(gaps.union(skipped))[-MOST_GAPS:])
                noted = int(now.timestamp())
        return Position(place, gaps, noted)

    def without_old_gaps(self, now: datetime) -> "Position":
        """Return the same without gaps that can no longer be filled."""
        old = now.timestamp() - self.noted > GIVE_UP_AFTER.total_seconds()
        return Position(self.after) if self.gaps and old else self

    def also_missing(self, places: Iterable[int], now: datetime) -> "Position":
        """Return the same, without having read these places."""
        gaps = self.gaps.union(place for place in places if place < self.after)
        return self if gaps == self.gaps else Position(self.after, gaps, int(now.timestamp()))

    def __str__(self) -> str:
        if not self.gaps:
            return str(self.after)
        return f"{self.after}@{self.noted}." + ".".join(str(place) for place in sorted(self.gaps))


def position_of(text: str) -> Position | None:
    """Return the position that this text says; None if it says none."""
    if not text.isascii() or not _TEXT.fullmatch(text):
        return None
    after, _, rest = text.partition("@")
    noted, _, gaps = rest.partition(".")
    places = frozenset(int(place) for place in gaps.split(".") if place)
    below = frozenset(place for place in places if place < int(after))
    return Position(int(after), below, int(noted or 0))
