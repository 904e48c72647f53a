"""The due stops of one account, in the order in which they are decided. That differs from the order of their effect.

An idle session uses its account's funds until its grace is over, however late that is decided."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.sessions.stops import Candidate, next_stop
from orchestrator.rules.values import Policy, Session


@dataclass(frozen=True, slots=True)
class DueStop:
    """A session that has to stop. `due`: when that is decided; the rule says at which instant it takes effect."""

    session: Session
    due: datetime
    rule: Candidate


class Overdue:
    """Sessions that may have to stop by `now`. Each is judged once, not once for each stop."""

    def __init__(
        self, policy: Callable[[Session], Policy], now: datetime, sessions: Iterable[Session] = ()
    ) -> None:
        self._policy = policy
        self._now = now
        self._sessions: dict[str, Session] = {}
        self._due: list[tuple[datetime, str]] = []
        for session in sessions:
            self.put(session)

    def put(self, session: Session) -> None:
        """Add or replace this session."""
        self._sessions[session.id] = session
        stop = self._first(session, None)
        if stop is not None:
            heapq.heappush(self._due, (stop.due, session.id))

    def drop(self, session_id: str) -> None:
        """Forget this session: it has stopped."""
        self._sessions.pop(session_id, None)

    def earliest(self, end: FundsEnd | None, load: Callable[[str], Session | None]) -> DueStop | None:
        """Return the stop that comes first; the end of the funds is one of them."""
        stops = [stop for stop in (self._of_funds(end, load), self._of_rules()) if stop is not None]
        return min(stops, key=lambda stop: (stop.due, stop.session.id), default=None)

    def planned_otherwise(self) -> list[Session]:
        """Return the sessions that no rule stops at their `stop_at` any more: a policy has changed since it was
        planned."""
        firsts = ((one, self._first(one, None)) for one in self._sessions.values())
        return [one for one, first in firsts if first is None or first.due != one.stop_at]

    def _of_rules(self) -> DueStop | None:
        while self._due:
            due, session_id = self._due[0]
            session = self._sessions.get(session_id)
            stop = None if session is None else self._first(session, None)
            if stop is not None and stop.due == due:
                return stop
            heapq.heappop(self._due)  # this session has stopped or changed since
        return None

    def _of_funds(self, end: FundsEnd | None, load: Callable[[str], Session | None]) -> DueStop | None:
        if end is None or end.at > self._now:
            return None
        session = self._sessions.get(end.session_id) or load(end.session_id)
        assert session is not None  # the funds are worked out from the account's own sessions
        return self._first(session, end)

    def _first(self, session: Session, end: FundsEnd | None) -> DueStop | None:
        forecast = next_stop(session, self._policy(session), end)
        if forecast.stop_at is None or forecast.stop_at > self._now:
            return None
        return DueStop(session, forecast.stop_at, forecast.candidates[0])
