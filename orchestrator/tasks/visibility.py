"""How long a message has been unacknowledged, by the broker's clock alone.

If a worker dies, the others give its unacknowledged messages back to their queues after a time. kombu measures that
time with the wall clocks of two machines: a worker with a clock two hours ahead would give back, every few seconds,
messages that the others have just taken."""

import time
from typing import Any

from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.json import dumps
from redis.exceptions import ResponseError

from orchestrator.client.options import JOBS_QUEUE

#: Seconds after which a job that a worker took and did not answer is given to another: it has one outcome however often
#: it comes, and its sender waits.
JOB_COMES_BACK_AFTER = 60.0


def timed_by_broker(qos: type[Any]) -> type[Any]:
    """Return kombu's class for unacknowledged messages in Redis, with times by the clock of Redis."""

    class Timed(qos):  # type: ignore[misc]
        _ahead: float | None = None
        """How far the broker's clock is ahead of this process's monotonic one; None: not asked yet."""

        def append(self, message: Any, delivery_tag: str) -> None:
            delivery = message.delivery_info
            entry = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])  # noqa: SLF001
            since = self._broker_time()
            if delivery["routing_key"] == JOBS_QUEUE:
                # It counts as old already, and so comes back sooner.
                since -= max(0.0, self.channel.visibility_timeout - JOB_COMES_BACK_AFTER)
            with self.pipe_or_acquire() as pipe:
                pipe.zadd(self.unacked_index_key, {delivery_tag: since})
                pipe.hset(self.unacked_key, delivery_tag, entry)
                pipe.execute()
            VirtualQoS.append(self, message, delivery_tag)

        def restore_visible(self, *args: Any, **kwargs: Any) -> None:
            self._ahead = None
            own_clock_ahead = time.time() - self._broker_time()
            self.visibility_timeout = self.channel.visibility_timeout + own_clock_ahead
            super().restore_visible(*args, **kwargs)

        def _broker_time(self) -> float:
            if self._ahead is None:
                with self.channel.conn_or_acquire() as client:
                    self._ahead = _time_of(client) - time.monotonic()
            return time.monotonic() + self._ahead

    return Timed


def _time_of(client: Any) -> float:
    try:
        seconds, microseconds = client.time()
    except ResponseError:  # its access rules forbid the question
        return time.time()
    return float(seconds + microseconds / 1e6)
