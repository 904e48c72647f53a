"""APScheduler on monotonic time: its own intervals follow the wall clock, which may jump."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from apscheduler.schedulers.background import BackgroundScheduler

log = logging.getLogger(__name__)

#: Seconds by which wall clock and monotonic clock may differ between two looks: less is a slewed clock.
JUMP = 0.5


class SteadyScheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """A scheduler that shifts every next run by a jump of the wall clock, so that no interval changes."""

    def __init__(
        self,
        *args: object,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        **options: object,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()
        super().__init__(*args, **options)

    def _process_jobs(self) -> float | None:
        """Correct for a jump, then run what is due. APScheduler calls this at least once in its shortest interval."""
        ahead = self._wall() - self._monotonic()
        jump, self._ahead = ahead - self._ahead, ahead
        if abs(jump) > JUMP:
            log.warning("this machine's clock jumped by %+.1f s: wake-ups continue at their pace", jump)
            self._move(timedelta(seconds=jump))
        seconds: float | None = super()._process_jobs()
        return seconds

    def _move(self, by: timedelta) -> None:
        for job in self.get_jobs():
            if job.next_run_time is not None:
                job.modify(next_run_time=job.next_run_time + by)
