"""Park messages: each is set aside at once, and a thread that waits for the database records it.

The worker's loop does one bounded thing for a message: one write to the broker that it came from, if that is Redis. The
thread does the rest, a row in the database and an answer to the sender, so that a database that is down delays no
message. Its backlog is bounded too."""

import logging
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.client.outcomes import refused
from orchestrator.client.schemas import schema
from orchestrator.flows.operations.parked_messages import MOST_KEPT, park
from orchestrator.observability import metrics
from orchestrator.rules.installation.message_head import shape_of, shown_name
from orchestrator.rules.installation.messages import ParkedMessage, task_id_fault
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.database import Database
from orchestrator.tasks.parked_copies import ParkedCopies

log = logging.getLogger(__name__)

#: Seconds between two writes to the database, and after one that failed; messages written at once.
_PAUSE, _AT_ONCE = 1.0, 200
#: The most reasons named in one line of the log.
_REASONS_SAID = 5
#: Seconds that a process which leaves waits for what it has parked to be written.
_LAST_WRITE = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedMessage:
    """A message that cannot be carried out, as far as it could be read."""

    queue: str
    reason: str
    raw: bytes
    """The message itself, or the part of it that the transport gives; never shown."""
    shown: Any = None
    """The contents, of which only the structure is shown."""
    task: Any = None
    task_id: Any = None
    sendable: bool = True
    """Whether `raw` can be put into the queue as it is."""


class Parking:
    """The parking of one process. Only its thread calls `database` and `answer`."""

    def __init__(
        self,
        database: Callable[[], Database],
        copies: ParkedCopies | None,
        answer: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._database = database
        self._copies = copies
        self._answer = answer
        self._waiting: deque[_WaitingMessages] = deque(maxlen=MOST_KEPT)
        self._changed = threading.Condition()
        self._writing = 0
        self._thread: threading.Thread | None = None

    def park(self, message: RefusedMessage) -> None:
        """Set the message aside. Returns at once and raises nothing, so that the message may be acknowledged."""
        self._take(message, _WaitingMessages(_parked(message, self._kept(message)), message.task_id))

    def decline(self, message: RefusedMessage) -> None:
        """Answer the sender, and save nothing. Returns at once and raises nothing."""
        self._take(message, _WaitingMessages(_parked(message, None), message.task_id, is_kept=False))

    def _take(self, message: RefusedMessage, waiting: "_WaitingMessages") -> None:
        metrics.MESSAGES_REFUSED.labels(message.queue).inc()
        with self._changed:
            self._waiting.append(waiting)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="parking", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for a bounded time until what is parked is recorded."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._writing, _LAST_WRITE)

    def _kept(self, message: RefusedMessage) -> str | None:
        if self._copies is None or not message.sendable:
            return None
        try:
            return self._copies.keep(message.raw)
        except Exception as error:  # noqa: BLE001  (a broker that is full: the message is named anyway)
            log.warning("cannot keep a copy of a parked message: %s", type(error).__name__)
            return None

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
                self._writing = len(batch)
            written = self._write(batch)
            with self._changed:
                if not written:
                    room = MOST_KEPT - len(self._waiting)
                    self._waiting.extendleft(reversed(batch[-room:] if room else []))
                self._writing = 0
                self._changed.notify_all()
            if not written or len(batch) < _AT_ONCE:
                pause.wait(_PAUSE)

    def _write(self, batch: Sequence["_WaitingMessages"]) -> bool:
        messages = [one.message for one in batch if one.is_kept]
        try:
            dropped = self._database().transact(lambda tx: park(tx, messages)) if messages else 0
        except Exception as error:  # noqa: BLE001  (a database that is down comes back)
            log.warning("%d parked messages wait for the database: %s", len(batch), type(error).__name__)
            return False
        metrics.MESSAGES_DROPPED.inc(dropped)
        for queue in sorted({message.queue for message in messages}):
            reasons = Counter(message.reason for message in messages if message.queue == queue)
            said = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_REASONS_SAID))
            log.error("parked messages of %s: %s: see `orchestrator messages list`", queue, said)
        for one in batch:
            self._answer_sender(one)
        return True

    def _answer_sender(self, waiting: "_WaitingMessages") -> None:
        """Answer a sender that waits for an outcome, if an outcome can be saved under its task id."""
        if task_id_fault(waiting.task_id) is not None:
            return
        message = waiting.message
        text = f"the message cannot be carried out: {message.reason}"
        text += f"; it is parked as {message.id}" if waiting.is_kept else ""
        try:
            self._answer(waiting.task_id, refused(Refusal(ErrorCode.INVALID_REQUEST, text, faults=[])))
        except Exception as error:  # noqa: BLE001  (the alarm names a parked message anyway)
            log.warning("cannot answer the sender of a refused message: %s", type(error).__name__)


@dataclass(frozen=True, slots=True)
class _WaitingMessages:
    """A refused message that is still to be recorded and answered."""

    message: ParkedMessage
    task_id: Any
    """The task id as it was received: the sender waits under it."""
    is_kept: bool = True


def known_keys() -> frozenset[str]:
    """Return the keys that may be shown in a message's structure: those of jobs' arguments, and of messages."""
    names: set[str] = set(_ENVELOPE)
    waiting: list[Any] = [schema()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            properties = part.get("properties")
            names |= set(properties) if isinstance(properties, dict) else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(names)


_ENVELOPE = (
    *("body", "headers", "properties", "content-type", "content-encoding", "body_encoding", "delivery_tag"),
    *("delivery_info", "exchange", "routing_key", "priority", "correlation_id", "reply_to", "redelivered"),
    *("task", "id", "lang", "args", "kwargs", "root_id", "parent_id", "group", "retries", "eta", "expires"),
    *(
        "timelimit",
        "argsrepr",
        "kwargsrepr",
        "origin",
        "ignore_result",
        "callbacks",
        "errbacks",
        "chain",
        "chord",
    ),
    *("compression", "shadow", "utc", "stamps", "stamped_headers", "delivery_mode"),
)
_KNOWN = known_keys()


def _parked(message: RefusedMessage, kept_as: str | None) -> ParkedMessage:
    return ParkedMessage(
        id=f"msg-{secrets.token_hex(6)}",
        parked_at=datetime.now(UTC),  # replaced by the store's time when it is written
        queue=message.queue,
        reason=message.reason,
        task=shown_name(message.task),
        task_id=shown_name(message.task_id),
        size=len(message.raw),
        head=shape_of(message.shown, _KNOWN),
        kept_as=kept_as,
    )
