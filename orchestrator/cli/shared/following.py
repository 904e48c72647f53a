"""Follow the outbox in its order, so that a reader who resumes behind the last event shown misses none and
sees none twice.

A transaction that commits late has an earlier place than events that are there already. So an event is held back while
a place before it is empty and may still be filled."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.store.queries.outbox import WaitingEvent

#: A place in the order that is empty after this was rolled back: no transaction lasts this long.
GIVE_UP_AFTER = timedelta(seconds=90)
#: An event has the time of its decision, up to one transaction before it got its place. Empty places before an event
#: that is older than this were rolled back or deleted.
SETTLED_AFTER = 2 * GIVE_UP_AFTER


class Follower:
    """The last place that was shown, with everything before it."""

    def __init__(self, after: int = 0, *, has_gaps: bool = True) -> None:
        """Begin behind this place; 0: with the first event that comes. `has_gaps`: False for the events of one subject,
        which are written under one lock."""
        self.after = after
        self._has_gaps = has_gaps
        self._empty_since: datetime | None = None

    def ready(self, found: Sequence["WaitingEvent"], now: datetime) -> Sequence["WaitingEvent"]:
        """Return those of the events behind `after` that can be shown, in their order."""
        shown = []
        for event in found:
            if self._is_early(event, now):
                break
            shown.append(event)
            self.after, self._empty_since = event.seq, None
        return shown

    def _is_early(self, event: "WaitingEvent", now: datetime) -> bool:
        """Return whether a place between this event and the last that was shown may still be filled."""
        if not self._has_gaps or self.after == 0 or event.seq == self.after + 1:
            return False
        self._empty_since = self._empty_since or now
        return now - event.time <= SETTLED_AFTER and now - self._empty_since <= GIVE_UP_AFTER
