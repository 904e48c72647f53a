"""Traces for OpenTelemetry, off by default: one trace for each session, from the job that creates it to its last close.

A session's rows keep no trace: its trace id, and the id of the root span, follow from the session's id. So every
process finds the trace of a session by itself, after a restart too, and a lost wake-up breaks no chain. A caller's own
trace (`traceparent`) is linked to the span of its job. Spans are recorded once they have ended. This module imports
nothing of OpenTelemetry."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

Attributes = Mapping[str, str | int | bool]

#: The job with which the trace of a session begins.
FIRST = "orchestrator.session.create"
#: The `traceparent` of the job, or the request, that is carried out now.
_caller: ContextVar[str | None] = ContextVar("traceparent", default=None)
_recorder: "Recorder | None" = None


class Recorder(Protocol):
    """Records spans that have ended. Times are nanoseconds since 1970."""

    def record(
        self,
        name: str,
        session_id: str | None,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        caller: str | None,
        is_first: bool,
        fault: str | None,
    ) -> None:
        """Record one span, of the session's trace if there is a session."""

    def close(self) -> None:
        """Send what is recorded, within a few seconds."""


def record_with(recorder: Recorder | None) -> None:
    """Record from now on; None: no more."""
    global _recorder
    _recorder = recorder


def close() -> None:
    """Send what is recorded: a process that was forked runs no `atexit`."""
    if _recorder is not None:
        _recorder.close()


@contextmanager
def called_by(traceparent: object) -> Iterator[None]:
    """Link jobs that are carried out meanwhile to their caller's span."""
    token = _caller.set(traceparent if isinstance(traceparent, str) else None)
    try:
        yield
    finally:
        _caller.reset(token)


def now() -> int:
    """Return the time for a span; 0 while nothing is recorded."""
    return time.time_ns() if _recorder is not None else 0


def job(name: str, task_id: str, outcome: Mapping[str, Any], began: int) -> None:
    """Record a job that was carried out, or refused. `began`: what `now` returned before it."""
    if _recorder is None:
        return
    result, error = outcome.get("result") or {}, outcome.get("error") or {}
    session_id = result.get("id") or result.get("session_id") if ".session." in name else None
    _recorder.record(
        name,
        session_id,
        (began, time.time_ns()),
        {"orchestrator.task_id": task_id, "orchestrator.ok": bool(outcome.get("ok"))},
        caller=_caller.get(),
        is_first=name == FIRST and session_id is not None,
        fault=error.get("code"),
    )


def call(step: str, session_id: str | None, attributes: Attributes, began: int, fault: str | None) -> None:
    """Record a lifecycle call to a provider. `fault`: how it failed."""
    if _recorder is not None:
        times = (began, time.time_ns())
        _recorder.record(step, session_id, times, attributes, caller=None, is_first=False, fault=fault)


def ids_of(session_id: str) -> tuple[int, int]:
    """Return the trace id of a session, and the id of its root span."""
    digest = hashlib.sha256(f"orchestrator {session_id}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1
