"""The second place where a message is read: a message of any broker becomes a request.

Celery catches only some of the errors there. Any other ends the worker and puts the message back into its queue, where
it ends the next worker. Here every message is carried out or parked, and the worker continues."""

import json
import logging
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery.worker.consumer import Consumer
from kombu import compression
from kombu.serialization import dumps

from orchestrator.rules.installation.message_head import shown_name
from orchestrator.rules.installation.message_size import LARGEST_BODY, check_body
from orchestrator.rules.installation.messages import UnreadableMessage, Unsupported, read_task
from orchestrator.tasks.entries import guarded_transport
from orchestrator.tasks.parking import Parking, RefusedMessage
from orchestrator.tasks.reasons import is_of_the_broker, reason_of

log = logging.getLogger(__name__)

#: Prefix of wake-ups of another release: they have no contents, and are dropped.
WAKE_UP = "orchestrator.tick."
#: Seconds that a worker waits before it takes the next message, after a fault of its own.
_REST = 1.0


def consumer_that_parks(parking: Parking) -> type["GuardedConsumer"]:
    """Return a class of consumers that park messages there."""
    return type("ParkingConsumer", (GuardedConsumer,), {"parking": parking})


class GuardedConsumer(Consumer):
    """Celery's consumer. A message that cannot become a request is parked and acknowledged."""

    parking: Parking
    connection_errors: tuple[type[Exception], ...]

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """Return the connection from which messages are read."""
        connection: Any = self.app.connection_for_read(heartbeat=heartbeat)
        unguarded = connection.get_transport_cls  # called again after a switch to another broker
        connection.get_transport_cls = lambda: guarded_transport(unguarded(), self.parking)
        return self.ensure_connected(connection)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function that is called with each message."""
        bound_decompression()
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                _make_clean(message)
            except Unsupported as error:
                self.decline(message, str(error))
            except Exception as error:  # noqa: BLE001  (whatever the message holds)
                self.refuse(message, reason_of(error))
            else:
                self._hand_over(handle, message)

        return on_task_received

    def refuse(self, message: Any, reason: str) -> None:
        """Park the message and take it out of its queue; AMQP may keep it as a dead letter."""
        self.parking.park(_refused(message, reason))
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors, requeue=False)

    def decline(self, message: Any, reason: str) -> None:
        """Answer the sender of a well-formed message that asks for something that is not done here."""
        self.parking.decline(_refused(message, reason))
        message.ack_log_error(log, self.connection_errors)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Park a message with a body that cannot be decoded."""
        self.refuse(message, reason_of(exc))

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """Park a message that names no task."""
        self.refuse(message, "the message names no task")

    def on_unknown_task(self, _body: Any, message: Any, _exc: Exception) -> None:
        """Park a job of a newer release, or of another application. Drop a wake-up of another release."""
        if message.headers["task"].startswith(WAKE_UP):
            log.info("dropped a wake-up that this release does not know")
            message.reject_log_error(log, self.connection_errors)
        else:
            self.refuse(message, "no task has this name in this release")

    def on_invalid_task(self, _body: Any, message: Any, exc: Exception) -> None:
        """Park a message that cannot become a request."""
        self.refuse(message, reason_of(exc))

    def _hand_over(self, handle: Callable[[Any], None], message: Any) -> None:
        try:
            handle(message)
        except Exception as error:
            if is_of_the_broker(error):
                raise  # Celery connects again
            if not _is_of_this_machine(error):
                self.refuse(message, reason_of(error))
                return
            log.error("cannot begin a task now (%s); its message goes back", type(error).__name__)
            message.requeue()
            time.sleep(_REST)


def bound_decompression() -> None:
    """Bound the size to which a compressed message may grow. Refuse compressions that cannot be bounded."""
    compression.register(zlib.compress, _inflate, "application/x-gzip", aliases=["gzip", "zlib"])
    for name in set(compression.encoders()) - {"application/x-gzip"}:
        compression.register(_refuse_compression, _refuse_compression, name)


def _inflate(body: bytes) -> bytes:
    stream = zlib.decompressobj()
    whole = stream.decompress(body, LARGEST_BODY)
    if stream.unconsumed_tail or not stream.eof:
        raise UnreadableMessage("the compressed body is too large or cut off")
    return whole


def _refuse_compression(_body: bytes) -> bytes:
    raise UnreadableMessage("the body's compression is not supported: use gzip or none")


def _make_clean(message: Any) -> None:
    """Reduce the message to its checked parts, in Celery's protocol 2."""
    task = read_task(message.headers, _decoded(message), datetime.now(UTC))
    contents: list[Any] = [task.args, task.kwargs, {}]
    message.content_type, message.content_encoding, message.body = dumps(contents, serializer="json")
    message.headers = task.headers
    message._decoded_cache = contents  # noqa: SLF001  (it is kept under the old body)


def _decoded(message: Any) -> Any:
    check_body(message.body)
    return message.decode()


def _refused(message: Any, reason: str) -> RefusedMessage:
    """Return what can be read of a message, any part of which may be broken."""
    try:
        payload = _decoded(message)
    except Exception:  # noqa: BLE001  (it may be what is wrong with it)
        payload = None
    entry = getattr(message, "_raw", None)
    headers = message.headers if isinstance(message.headers, dict) else {}
    fields = {**payload, **headers} if isinstance(payload, dict) else headers
    return RefusedMessage(
        queue=shown_name((message.delivery_info or {}).get("routing_key")) or "?",
        reason=reason,
        raw=_encoded(entry if entry is not None else message.body),
        shown={"headers": headers, "body": payload if payload is not None else message.body},
        task=fields.get("task"),
        task_id=fields.get("id"),
        sendable=entry is not None,
    )


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return json.dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        return str(type(value)).encode()


def _is_of_this_machine(error: Exception) -> bool:
    """Return whether threads or memory ran out: then another worker can carry the message out, or this one later."""
    return isinstance(error, RuntimeError | MemoryError) and not isinstance(error, RecursionError)
