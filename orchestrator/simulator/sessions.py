"""Every session ever opened, and which one each key holds."""

import itertools
from collections.abc import Callable
from dataclasses import replace

from orchestrator.simulator.values import SimSession


class Sessions:
    """Evaluates expiry at each look: a clock that is moved by hand needs no timers."""

    def __init__(self, clock: Callable[[], float], token_hex: Callable[[int], str]) -> None:
        self._clock = clock
        self._token_hex = token_hex
        self.clear()

    def clear(self) -> None:
        self._order = itertools.count(1)
        self._all: dict[str, SimSession] = {}
        self._open: dict[str, SimSession] = {}
        self._held: dict[tuple[str, str], str] = {}

    def open(
        self,
        *,
        upstream: str,
        key: str,
        model: str,
        seconds: float,
        label: str | None = None,
        as_id: str | None = None,
    ) -> SimSession:
        """Open one more; from now on the key holds it."""
        self._expire()
        now = self._clock()
        session = SimSession(
            id=as_id or f"0x{self._token_hex(32)}",
            upstream=upstream,
            key=key,
            model=model,
            opened_at=now,
            ends_at=now + seconds,
            opened_order=next(self._order),
            label=label,
        )
        self._keep(session)
        self._held[upstream, key] = session.id
        return session

    def end(self, session_id: str, by: str) -> SimSession:
        """End an open one; KeyError when it is unknown or over."""
        self._expire()
        return self._end(self._open[session_id], by, self._clock())

    def leak(self, session_id: str) -> None:
        """Mark a session that the platform has lost track of; on the chain it stays open."""
        self._keep(replace(self._open[session_id], leaked=True))

    def release(self, upstream: str, key: str) -> None:
        """Forget the key's session."""
        self._held.pop((upstream, key), None)

    def held(self, upstream: str, key: str) -> SimSession | None:
        """Return the session that the platform has on record for the key. It may have ended since."""
        session_id = self._held.get((upstream, key))
        return None if session_id is None else self.get(session_id)

    def active(self, upstream: str, key: str) -> SimSession | None:
        """Return the key's session while it is open."""
        held = self.held(upstream, key)
        return held if held and held.is_open else None

    def get(self, session_id: str) -> SimSession | None:
        self._expire()
        return self._all.get(session_id)

    def all(self) -> list[SimSession]:
        self._expire()
        return list(self._all.values())

    def open_now(self) -> list[SimSession]:
        self._expire()
        return list(self._open.values())

    def _expire(self) -> None:
        now = self._clock()
        due = [session for session in self._open.values() if session.ends_at <= now]
        for session in sorted(due, key=lambda session: session.ends_at):
            self._end(session, "expired", session.ends_at)

    def _end(self, session: SimSession, by: str, at: float) -> SimSession:
        ended = replace(session, closed_at=at, closed_by=by, closed_order=next(self._order))
        self._keep(ended)
        return ended

    def _keep(self, session: SimSession) -> None:
        self._all[session.id] = session
        if session.is_open:
            self._open[session.id] = session
        else:
            self._open.pop(session.id, None)
