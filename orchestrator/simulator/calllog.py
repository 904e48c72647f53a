"""The provider's view: every call, from its headers to the last byte of its answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.simulator.values import Call


class CallLog:
    """The log of calls. A call is listed from its first moment; what is not known yet is None."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seq = 0
        self.clear()

    def clear(self) -> None:
        """Delete all calls. Numbers continue, so that `since` never shows an old call as new."""
        self._calls: dict[int, Call] = {}
        self._running: set[int] = set()

    @property
    def newest(self) -> int:
        """The number of the call that began last."""
        return self._seq

    def begin(self, *, upstream: str, kind: str, operation: str, path: str, key: str | None) -> int:
        self._seq += 1
        call = Call(
            seq=self._seq,
            began_at=self._clock(),
            upstream=upstream,
            kind=kind,
            operation=operation,
            path=path,
            key=key,
        )
        self._calls[call.seq] = call
        self._running.add(call.seq)
        return call.seq

    def note(self, seq: int, **known: Any) -> None:
        """Update a call. One that was deleted meanwhile stays deleted."""
        if seq in self._calls:
            self._calls[seq] = replace(self._calls[seq], **known)

    def settle(self, seq: int, *, status: int | None, answered: bool) -> None:
        """Note that the call is over. Call this just before the last byte, so that the reader of the answer finds it
        here."""
        if seq in self._running:
            self._running.discard(seq)
            ended_at = self._clock()
            self.note(seq, ended_at=ended_at, ended_after=self._seq, status=status, answered=answered)

    def running(self, **wanted: Any) -> list[Call]:
        """Return the calls that have no answer yet."""
        return [call for seq in sorted(self._running) if (call := self._calls[seq]).matches(wanted)]

    def read(self, since: int = 0, **wanted: Any) -> list[Call]:
        return [call for call in self._calls.values() if call.seq > since and call.matches(wanted)]
