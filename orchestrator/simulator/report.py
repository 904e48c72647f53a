"""What went well and what did not, computed from the log and the sessions alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.simulator.values import Call, SimSession

#: calls that show whether a session lives
PINGS = frozenset({"chat", "ping_native", "transcribe"})
ENDED_BY_CALLER = frozenset({"client", "ping"})


@dataclass(frozen=True, kw_only=True)
class Report:
    """Totals since the last reset."""

    open_now: int
    opens: int
    #: ended by a close or a native ping
    closes: int
    #: displaced, expired, dead or forgotten
    ended_by_platform: int
    leaked: int
    #: upstream → key → the most sessions open at one time
    most_active_per_key: dict[str, dict[str, int]]
    #: opened under a name that another open session of the same key had
    double_opens: int
    pings_after_close: int
    #: their numbers in the log
    late_pings: tuple[int, ...]
    calls: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(calls: Sequence[Call], sessions: Sequence[SimSession]) -> Report:
    late = tuple(sorted(_late_pings(calls, sessions)))
    closes = sum(session.closed_by in ENDED_BY_CALLER for session in sessions)
    open_now = sum(session.is_open for session in sessions)
    return Report(
        open_now=open_now,
        opens=len(sessions),
        closes=closes,
        ended_by_platform=len(sessions) - closes - open_now,
        leaked=sum(session.leaked for session in sessions),
        most_active_per_key=_most_active(sessions),
        double_opens=_double_opens(sessions),
        pings_after_close=len(late),
        late_pings=late,
        calls=dict(Counter(call.operation for call in calls)),
    )


def _most_active(sessions: Iterable[SimSession]) -> dict[str, dict[str, int]]:
    steps: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for session in sessions:
        mine = steps[session.upstream, session.key]
        mine.append((session.opened_order, +1))
        if session.closed_order is not None:
            mine.append((session.closed_order, -1))
    most: dict[str, dict[str, int]] = defaultdict(dict)
    for (upstream, key), changes in steps.items():
        most[upstream][key] = _peak(changes)
    return dict(most)


def _peak(changes: list[tuple[int, int]]) -> int:
    level = peak = 0
    for _, change in sorted(changes):
        level += change
        peak = max(peak, level)
    return peak


def _double_opens(sessions: Sequence[SimSession]) -> int:
    """Count sessions that were opened while one of the same name was open. Sessions come in the order of their opening.
    Bids are not names, and may be used twice."""
    seen: dict[tuple[str, str, str], list[SimSession]] = defaultdict(list)
    double = 0
    for session in sessions:
        if session.label is None or session.label.startswith("0x"):
            continue
        mine = seen[session.upstream, session.key, session.label]
        double += any(_still_open(earlier, session) for earlier in mine)
        mine.append(session)
    return double


def _still_open(earlier: SimSession, later: SimSession) -> bool:
    return earlier.closed_order is None or earlier.closed_order > later.opened_order


def _late_pings(calls: Sequence[Call], sessions: Sequence[SimSession]) -> Iterable[int]:
    confirmed = _confirmed_closes(calls, sessions)
    for call in calls:
        if call.operation in PINGS and call.session in confirmed and call.seq > confirmed[call.session]:
            yield call.seq


def _confirmed_closes(calls: Sequence[Call], sessions: Sequence[SimSession]) -> dict[str, int]:
    """Map each session to the newest call that had begun when its close was first confirmed."""
    opened = _openings(calls)
    mine: dict[tuple[str, str | None], list[SimSession]] = defaultdict(list)
    for session in sessions:
        mine[session.upstream, session.key].append(session)
    confirmed: dict[str, int] = {}
    for close in filter(_is_good_close, calls):
        assert close.ended_after is not None
        for session in mine[close.upstream, close.key]:
            if _confirms(close, session, opened.get(session.id, 0)):
                earlier = confirmed.get(session.id, close.ended_after)
                confirmed[session.id] = min(earlier, close.ended_after)
    return confirmed


def _openings(calls: Iterable[Call]) -> dict[str, int]:
    """Map each session to the call that opened it."""
    effects = ((call.seq, call.effect.rpartition("opened ")) for call in calls if call.effect)
    return {session_id: seq for seq, (_, opened, session_id) in effects if opened}


def _is_good_close(call: Call) -> bool:
    """Return whether the call confirmed a close. An error that says "closed before" is as good as a success."""
    succeeded = call.status is not None and 200 <= call.status < 300
    proven = succeeded or (call.effect or "").startswith("closed before ")
    return call.operation == "close" and call.answered and proven


def _confirms(close: Call, session: SimSession, opened_by: int) -> bool:
    """Return whether this close confirms the end of the session. A close names what it closed; one without a name
    ("none was active") confirms every session that had ended before."""
    if close.session is not None:
        return close.effect in (f"closed {session.id}", f"closed before {session.id}")
    if session.leaked or session.closed_at is None or opened_by > close.seq:
        return False
    return session.closed_at <= (close.ended_at or 0)
