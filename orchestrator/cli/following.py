"""Follow the outbox: show each event once, even if its transaction commits after a later one's."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.store.queries.outbox import WaitingEvent

#: A place in the order that is empty after this was rolled back: no transaction lasts so long.
GIVE_UP_AFTER = timedelta(seconds=90)
#: Places missed at once; more were lost in a jump of the sequence, as after a restart of the database.
_MOST = 1000


class Follower:
    """The last place that was read, and the places before it that are still empty."""

    def __init__(self) -> None:
        self.after = 0
        """The last place seen; 0: none yet."""
        self._gaps: dict[int, datetime] = {}

    @property
    def gaps(self) -> Collection[int]:
        """Places that may still be filled."""
        return list(self._gaps)

    def saw(self, events: Sequence["WaitingEvent"], now: datetime) -> None:
        """Note the events that were read, in order. Missing places between them are waited for, for a while."""
        for event in events:
            self._gaps.pop(event.seq, None)
            if event.seq > self.after:
                skipped = range(self.after + 1, event.seq) if self.after else range(0)
                self._gaps |= dict.fromkeys(skipped[-_MOST:], now)
                self.after = event.seq
        self._gaps = {seq: at for seq, at in self._gaps.items() if now - at <= GIVE_UP_AFTER}
