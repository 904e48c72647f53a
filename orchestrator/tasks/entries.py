"""The first place where a message is read: a raw entry of a Redis list becomes a message.

kombu's transport checks nothing there: an entry that is not JSON, or lacks what the transport expects, ends the worker.
Other brokers have no such place, since they deliver messages."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from orchestrator.rules.installation.message_size import check_entry
from orchestrator.rules.installation.messages import UnreadableMessage, clean_entry
from orchestrator.tasks.parking import Parking, RefusedMessage
from orchestrator.tasks.reasons import is_of_the_broker, reason_of
from orchestrator.tasks.unacked import restoring_safely
from orchestrator.tasks.visibility import timed_by_broker


def guarded_transport(transport: type[Any], parking: Parking) -> type[Any]:
    """Return the transport, with a guard if it uses Redis."""
    if transport.driver_type != "redis" or hasattr(transport, "guarded"):
        return transport

    class GuardedTransport(transport):  # type: ignore[misc]
        guarded = True
        Channel = _guarded_channel(transport.Channel, parking)

        def _deliver(self, message: Any, queue: str) -> None:
            super()._deliver(clean_entry(message, queue, str(uuid.uuid4())), queue)

    return GuardedTransport


def _guarded_channel(channel: type[Any], parking: Parking) -> type[Any]:
    class GuardedChannel(_keeping_its_client(channel)):  # type: ignore[misc]
        """Remembers the entry that it reads, so that it can be parked whatever fails on it."""

        QoS = restoring_safely(timed_by_broker(channel.QoS), parking)
        _entry: tuple[str, bytes] | None

        def _create_client(self, *args: Any, **kwargs: Any) -> Any:
            client = super()._create_client(*args, **kwargs)
            return _watched(client, self._remember) if args or kwargs else client  # the others read no entry

        def _remember(self, key: bytes, entry: bytes) -> None:
            self._entry = key.decode().rsplit(self.sep, 1)[0], entry
            check_entry(entry)

        def _brpop_read(self, **options: Any) -> Any:
            self._entry = None  # the entry that the last call read
            try:
                return super()._brpop_read(**options)
            except Exception as error:
                entry: tuple[str, bytes] | None = self._entry
                if entry is None or is_of_the_broker(error):
                    raise
                parking.park(_refused(*entry, reason_of(error)))
                return True

    return GuardedChannel


def _keeping_its_client(channel: type[Any]) -> type[Any]:
    """Return the channel, with one client for all commands that wait for their answers. kombu makes one for each
    message that is taken or acknowledged, which costs more than the command; threads may share one."""

    class KeepingChannel(channel):  # type: ignore[misc]
        _kept: tuple[Any, Any] | None = None
        """A pool of connections, and its client."""

        def _create_client(self, *args: Any, **kwargs: Any) -> Any:
            if args or kwargs:  # a client for the event loop
                return super()._create_client(*args, **kwargs)
            kept = self._kept
            if kept is None or kept[0] is not self.pool:  # there is another pool after a lost connection
                kept = self._kept = self.pool, super()._create_client()
            return kept[1]

    return KeepingChannel


def _watched(client: Any, seen: Callable[[bytes, bytes], None]) -> Any:
    """Return the client. `seen` is called with each queue and entry that it reads, before they are parsed."""
    parse = client.parse_response

    def parse_response(connection: Any, command: str, **options: Any) -> Any:
        answer = parse(connection, command, **options)
        if command == "BRPOP" and answer:
            seen(*answer)
        return answer

    client.parse_response = parse_response
    return client


def _refused(queue: str, entry: bytes, reason: str) -> RefusedMessage:
    shown = _decoded(entry)
    headers = shown.get("headers") if isinstance(shown, dict) else None
    named = headers if isinstance(headers, dict) else {}
    return RefusedMessage(
        queue=queue,
        reason=reason,
        raw=entry,
        shown=shown,
        task=named.get("task"),
        task_id=named.get("id"),
    )


def _decoded(entry: bytes) -> Any:
    try:
        check_entry(entry)
        return json.loads(entry)
    except (UnreadableMessage, ValueError, RecursionError):
        return entry
