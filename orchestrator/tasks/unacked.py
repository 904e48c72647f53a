"""The third place where a message is read: messages that a dead worker has not acknowledged go back to their queue.

kombu trusts the contents of `unacked` in Redis: an entry of another form ends every worker that reads it."""

import uuid
from contextlib import suppress
from typing import Any

from kombu.utils.json import dumps, loads
from redis.exceptions import ResponseError

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.rules.installation.liveness import KINDS
from orchestrator.rules.installation.message_size import check_values
from orchestrator.rules.installation.messages import UnackedMessage, UnreadableMessage, read_unacked
from orchestrator.tasks.parking import Parking, RefusedMessage
from orchestrator.tasks.reasons import is_of_the_broker, reason_of
from orchestrator.tasks.wake_ups import queue_of

#: The queue reported for an entry that does not name one of ours.
NO_QUEUE = "unacked"
_QUEUES = frozenset({JOBS_QUEUE, *map(queue_of, KINDS)})


def restoring_safely(qos: type[Any], parking: Parking) -> type[Any]:
    """Return kombu's class for unacknowledged messages in Redis, with two changes: a message that cannot be restored is
    parked, and one that cannot be stored goes back to its queue."""

    class Safe(qos):  # type: ignore[misc]
        def append(self, message: Any, delivery_tag: str) -> None:
            """Note that the message is taken. Where Redis refuses (a key of another type), it is not."""
            try:
                super().append(message, delivery_tag)
            except ResponseError:
                _give_back(self, message, delivery_tag)
                raise

        def restore_by_tag(self, tag: Any, client: Any = None, leftmost: Any = False) -> None:  # noqa: FBT002
            """Put the message back into its queue, or park it; either way it is no longer unacknowledged."""
            entry: bytes | None = None

            def restore(pipe: Any) -> None:
                nonlocal entry
                entry = pipe.hget(self.unacked_key, tag)
                pushed = _restored(self.channel, entry, leftmost=leftmost) if entry is not None else []
                pipe.multi()
                self._remove_from_indices(tag, pipe)
                for command, key, message in pushed:
                    pipe.execute_command(command, key, message)

            with self.channel.conn_or_acquire(client) as connected:
                try:
                    connected.transaction(restore, self.unacked_key)
                except Exception as error:
                    if entry is None or is_of_the_broker(error):
                        raise
                    parking.park(_refused(entry, reason_of(error)))  # first: its entry is the only copy
                    self._remove_from_indices(tag, connected.pipeline()).execute()

    return Safe


def _give_back(qos: Any, message: Any, tag: str) -> None:
    """Put the message back into its queue. If that is refused too, its sender must repeat it."""
    delivery = message.delivery_info
    entry = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])  # noqa: SLF001
    with suppress(Exception), qos.pipe_or_acquire() as pipe:
        qos._remove_from_indices(tag, pipe)  # noqa: SLF001
        for command, key, value in _restored(qos.channel, entry.encode(), leftmost=False):
            pipe.execute_command(command, key, value)
        pipe.execute(raise_on_error=False)


def _restored(channel: Any, entry: bytes, *, leftmost: bool) -> list[tuple[str, str, str]]:
    """Return the commands that put the message back: command, key and value, for each of its queues."""
    unacked = _read(entry)
    queues = channel._lookup(unacked.exchange, unacked.routing_key)  # noqa: SLF001
    if not queues:
        raise UnreadableMessage("no queue is bound to the message's exchange")
    command = "LPUSH" if leftmost else "RPUSH"
    pushed = []
    for queue in queues:
        message = unacked.addressed_to(queue, str(uuid.uuid4()))
        key = channel._q_for_pri(queue, message["properties"]["priority"])  # noqa: SLF001
        pushed.append((command, key, dumps(message)))
    return pushed


def _read(entry: bytes) -> UnackedMessage:
    check_values(entry, "message")
    return read_unacked(loads(entry))


def _refused(entry: bytes, reason: str) -> RefusedMessage:
    try:
        return _named(_read(entry), reason)
    except Exception:  # noqa: BLE001  (it is what is wrong with it)
        return RefusedMessage(queue=NO_QUEUE, reason=reason, raw=entry, shown=entry, sendable=False)


def _named(unacked: UnackedMessage, reason: str) -> RefusedMessage:
    """Return the refused message. Only our own queues are named, since each name is a label of a metric."""
    message = unacked.message
    headers = message.get("headers") if isinstance(message, dict) else None
    named = headers if isinstance(headers, dict) else {}
    is_ours = unacked.routing_key in _QUEUES
    return RefusedMessage(
        queue=unacked.routing_key if is_ours else NO_QUEUE,
        reason=reason,
        raw=dumps(message).encode(),
        shown=message,
        task=named.get("task"),
        task_id=named.get("id"),
        sendable=is_ours,
    )
