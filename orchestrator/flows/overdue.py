"""The stops of one account that are due, earliest first, and what has to wait for them."""

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime

from orchestrator.rules.money import FundsEnd
from orchestrator.rules.stops import Candidate, next_stop
from orchestrator.rules.values import Policy, Session

#: Stops of one account in one transaction: its jobs, and the stops of other accounts, wait that long at most.
AT_ONCE = 100
Stop = tuple[Session, Candidate]


class StopsFirst(Exception):
    """More than `AT_ONCE` stops of this account are due: they come first, in transactions of their own."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"more than {AT_ONCE} stops of account {account_id} are due and come first")
        self.account_id = account_id


class Overdue:
    """Sessions that may have to stop by `now`; each is judged once, not once for each stop."""

    def __init__(
        self, policy: Callable[[Session], Policy], now: datetime, sessions: Iterable[Session] = ()
    ) -> None:
        self._policy = policy
        self._now = now
        self._sessions: dict[str, Session] = {}
        self._due: list[tuple[datetime, str, Candidate]] = []
        for session in sessions:
            self.put(session)

    def put(self, session: Session) -> None:
        """Judge this session, as it is now."""
        self._sessions[session.id] = session
        due = self._first(session, None)
        if due is not None:
            heapq.heappush(self._due, (due.at, session.id, due))

    def drop(self, session_id: str) -> None:
        """Forget this session: it has stopped."""
        self._sessions.pop(session_id, None)

    def earliest(self, end: FundsEnd | None, load: Callable[[str], Session | None]) -> Stop | None:
        """Return the stop that comes first, with the end of the funds among them."""
        stops = [stop for stop in (self._of_funds(end, load), self._of_rules()) if stop is not None]
        return min(stops, key=lambda stop: (stop[1].at, stop[0].id), default=None)

    def planned_otherwise(self) -> list[Session]:
        """Return the sessions that no rule stops at their `stop_at`: a policy has changed since it was planned."""
        firsts = ((one, self._first(one, None)) for one in self._sessions.values())
        return [one for one, first in firsts if first is None or first.at != one.stop_at]

    def _of_rules(self) -> Stop | None:
        while self._due:
            _, session_id, due = self._due[0]
            session = self._sessions.get(session_id)
            if session is not None and self._first(session, None) == due:
                return session, due
            heapq.heappop(self._due)  # it has stopped or changed since
        return None

    def _of_funds(self, end: FundsEnd | None, load: Callable[[str], Session | None]) -> Stop | None:
        if end is None or end.at > self._now:
            return None
        session = self._sessions.get(end.session_id) or load(end.session_id)
        assert session is not None  # the funds are worked out from the account's own sessions
        due = self._first(session, end)
        return None if due is None else (session, due)

    def _first(self, session: Session, end: FundsEnd | None) -> Candidate | None:
        forecast = next_stop(session, self._policy(session), end)
        return (
            forecast.candidates[0] if forecast.stop_at is not None and forecast.stop_at <= self._now else None
        )
