"""`session explain`, for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import ALL_LINES, Column
from orchestrator.cli.shared.tables import pairs, table
from orchestrator.cli.shared.times import when, whens
from orchestrator.cli.views.session_tables import change_note
from orchestrator.rules.states import Step

if TYPE_CHECKING:
    from rich.console import RenderableType


_STOPS = (Column("would stop for", whole=True), Column("at"), Column("why", prose=ALL_LINES))
_CHANGES = (Column("when"), Column("change", prose=ALL_LINES))


def explained(explanation: dict[str, Any], now: datetime) -> Iterator["RenderableType"]:
    """Yield the state with its reasons, then every rule that may stop the session."""
    used = explanation["used"]
    rows = [("session", explanation["session_id"]), ("state", explanation["state"])]
    rows += [("because", sentence) for sentence in explanation["because"]]
    rows += [("doubt", sentence) for sentence in explanation["doubts"]]
    rows += [
        ("next step", _next_step(explanation, now)),
        ("interactions", _of(used["interactions"], used["max_interactions"])),
        ("charged", f"{_of(used['charged'], used['max_cost'])} {used['currency']}"),
    ]
    yield pairs(rows)
    if explanation["stops"]:
        stops = [(stop["reason"], whens(stop["at"], now), _why(stop, now)) for stop in explanation["stops"]]
        yield table(_STOPS, stops, title="the earliest stops it")
    if explanation["changes"]:
        changes = [(whens(one["at"], now), change_note(one)) for one in explanation["changes"]]
        yield table(_CHANGES, changes, title="who changed it")


def _next_step(explanation: dict[str, Any], now: datetime) -> str:
    """Return the next step. While a worker does one, the next is what follows where no outcome comes."""
    step = explanation["next_step"]
    if step is None:
        return "none"
    text = f"{step} {when(explanation['next_step_at'], now)}"
    if explanation["claimed_until"] is None:
        return text
    doing = "is closing it" if step == Step.CLOSE else "works on it"
    return f"a worker {doing} now; without an outcome: {text}"


def _why(stop: dict[str, Any], now: datetime) -> str:
    """Return why, and when that is decided: an idle stop is decided later than it takes effect."""
    if stop["decided_at"] == stop["at"]:
        return str(stop["detail"])
    return f"{stop['detail']}; decided {when(stop['decided_at'], now)}, unless a late report moves it"


def _of(used: Any, limit: Any) -> str:
    return str(used) if limit is None else f"{used} of {limit}"
