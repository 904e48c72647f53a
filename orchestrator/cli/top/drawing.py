"""The screen of `top` as tables and lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.tables import coloured
from orchestrator.cli.top.screen import TopScreen
from orchestrator.cli.views.explaining import explained
from orchestrator.cli.views.session_tables import listed
from orchestrator.rules.durations import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

_HELP = "↑↓ mark · Enter explain · s sort · r reverse · / filter · a all · q quit"
_HELP_EXPLAINED = "Esc back to the list"
_HELP_TYPING = "a part of an id, name, account, model or provider · Enter keep · Esc clear"
#: Lines that are not rows: summary, headings, note and help.
_AROUND = 10
#: Lines that a fault may take.
_OF_A_FAULT = 3


def drawn(screen: TopScreen, height: int) -> Sequence["RenderableType"]:
    """Return what fits into this many lines."""
    above = [coloured(_summary(screen), "bold"), *_alerts(screen)]
    if screen.explained is not None:  # an explanation may be longer than the screen, which cuts its end
        return [*above, _help(screen), *_body(screen, height)]
    return [*above, *_body(screen, height), _help(screen)]


def _body(screen: TopScreen, height: int) -> Iterator["RenderableType"]:
    if screen.explained is not None:
        yield from _explanation(screen, screen.explained)
        return
    rows, most = screen.rows, max(height - _AROUND - (_OF_A_FAULT if screen.fault else 0), 1)
    first = min(max(screen.place - most // 2, 0), max(len(rows) - most, 0))
    shown = rows[first : first + most]
    yield listed(shown, screen.look.at, marked=screen.place - first if shown else None)
    yield _note(screen, len(rows), first, len(shown))


def _explanation(screen: TopScreen, session_id: str) -> Iterator["RenderableType"]:
    found = screen.look.explanation
    if found is not None and found["session_id"] == session_id:
        yield from explained(found, screen.look.at)
    elif screen.fault is None:
        yield coloured(f"session {session_id} is gone", "red")


def _summary(screen: TopScreen) -> str:
    """Return what lives, what it costs, and the time."""
    view = screen.look.overview
    counts: dict[str, int] = {}
    for one in view.get("sessions", ()):
        counts[one["state"]] = counts.get(one["state"], 0) + one["count"]
    states = " ".join(f"{state} {counts[state]}" for state in _SHOWN if counts.get(state))
    burning = " ".join(
        f"{amount} {currency}/h" for currency, amount in view.get("burning_per_hour", {}).items()
    )
    parts = (f"{screen.look.at:%H:%M:%S} UTC", states or "no live session", burning and f"burning {burning}")
    return " · ".join(filter(None, parts))


_SHOWN = ("queued", "starting", "running", "stopping")


def _alerts(screen: TopScreen) -> Iterator["RenderableType"]:
    """Yield a line of problems, if there are any; before it, one if the screen could not be refreshed."""
    if screen.fault is not None:
        yield coloured(f"last read at {screen.look.at:%H:%M:%S} UTC: {screen.fault}", "red")
    said = list(_worries(screen.look.overview))
    if said:
        yield coloured(" · ".join(said), "red")


def _worries(view: Mapping[str, Any]) -> Iterator[str]:
    late = max(view.get("overdue_seconds", {}).items(), key=lambda item: item[1], default=None)
    if late is not None and late[1] >= _LATE:
        yield f"{late[0]} overdue for {duration_text(late[1], 1)}"
    if view.get("unproven_closes"):
        risk = " ".join(f"{amount} {currency}" for currency, amount in view["money_at_risk"].items())
        yield f"{view['unproven_closes']} closes unproven ({risk} at risk)"
    if view.get("brakes"):
        yield f"braked: {', '.join(view['brakes'])}"
    for key, what in (("alarms", "alarms"), ("parked_messages", "parked messages")):
        if view.get(key):
            yield f"{view[key]} {what}"
    missing = view.get("processes", {}).get("missing")
    if missing:
        yield f"no process does {', '.join(missing)}"


#: Seconds from which on a step is said to be late.
_LATE = 30


def _note(screen: TopScreen, matching: int, first: int, shown: int) -> "RenderableType":
    """Return how the list is made, and how much of it is seen."""
    what = "live sessions" if screen.live_only else "sessions"
    seen = f"{first + 1} to {first + shown} of {matching}" if shown else "0"
    more = f" (of {screen.look.total})" if screen.look.total > matching else ""
    order = f"by {screen.order.value}{', reversed' if screen.reverse else ''}"
    wanted = (
        f" · filter: {screen.filter}{'▏' if screen.typing else ''}" if screen.filter or screen.typing else ""
    )
    return coloured(f"{seen} {what}{more} {order}{wanted}", "dim")


def _help(screen: TopScreen) -> "RenderableType":
    if screen.typing:
        return coloured(_HELP_TYPING, "dim")
    return coloured(_HELP if screen.explained is None else _HELP_EXPLAINED, "dim")
