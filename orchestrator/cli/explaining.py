"""`session explain`, for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import pairs, table
from orchestrator.cli.times import when

if TYPE_CHECKING:
    from rich.console import RenderableType


def explained(explanation: dict[str, Any], now: datetime) -> Iterator["RenderableType"]:
    """Yield the state with its reasons, then every rule that may stop the session."""
    used, step = explanation["used"], explanation["next_step"]
    rows = [("session", explanation["session_id"]), ("state", explanation["state"])]
    rows += [("because", sentence) for sentence in explanation["because"]]
    rows += [("doubt", sentence) for sentence in explanation["doubts"]]
    rows += [
        ("next step", f"{step} {when(explanation['next_step_at'], now)}" if step else "none"),
        ("interactions", _of(used["interactions"], used["max_interactions"])),
        ("charged", f"{_of(used['charged'], used['max_cost'])} {used['currency']}"),
    ]
    yield pairs(rows)
    if explanation["stops"]:
        stops = [(stop["reason"], when(stop["at"], now), _why(stop, now)) for stop in explanation["stops"]]
        yield table(("would stop for", "at", "why"), stops, title="the earliest stops it")


def _why(stop: dict[str, Any], now: datetime) -> str:
    """Return why, and when that is decided: an idle stop is decided later than it takes effect."""
    if stop["decided_at"] == stop["at"]:
        return str(stop["detail"])
    return f"{stop['detail']}; decided {when(stop['decided_at'], now)}, unless a late report moves it"


def _of(used: Any, limit: Any) -> str:
    return str(used) if limit is None else f"{used} of {limit}"
