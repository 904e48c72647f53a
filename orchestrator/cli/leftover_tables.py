"""Tables of closes without proof. Each costs money until an operator looks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import pairs, show, table
from orchestrator.cli.times import when

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = ("id", "account", "provider", "handle", "state", "age", "tries", "money at risk", "last answer")


def listed(entries: Sequence[dict[str, Any]]) -> list["RenderableType"]:
    """Return the closes that are still tried, and those that were forced."""
    parts = [table(_COLUMNS, [_row(one) for one in entries if one["forced"] is None])]
    forced = [one for one in entries if one["forced"] is not None]
    if forced:
        columns = ("id", "provider", "handle", "at", "by", "why", "money at risk", "last answer")
        parts.append(table(columns, [_forced_row(one) for one in forced], title="forced, without any proof"))
    return parts


def orphans(entries: Sequence[dict[str, Any]]) -> list["RenderableType"]:
    """Return the known resources there, and what opens with lost answers may have left."""
    more = [one for one in entries if not one["orphan"]]
    certain = table(_COLUMNS, [_row(one) for one in entries if one["orphan"]])
    return [certain, *(possible(more) if more else [])]


def possible(entries: Sequence[dict[str, Any]]) -> list["RenderableType"]:
    """Return the possible orphans that no list shows: a person must look for them."""
    title = "opens that may have left more at the provider"
    return [table(_COLUMNS, [_row(one) for one in entries], title=title)]


def show_closed(result: dict[str, Any]) -> None:
    """Show the result of a close of a session, or of an orphan."""
    if not result.get("orphan"):
        from orchestrator.cli.session_tables import show_result

        if _found_over(result):
            show(_as_it_ended(result))
        return show_result(result)
    forced = result["forced"] or {}
    return show(
        pairs(
            [
                ("orphan", result["id"]),
                ("provider", result["provider"]),
                ("handle", result["handle"]),
                ("state", result["state"]),
                ("tries", result["attempts"]),
                ("last answer", result["last_answer"]),
                ("proof", result["proof"]),
                ("forced by", forced.get("by")),
                ("money at risk", _money(result)),
            ]
        )
    )


def _found_over(session: dict[str, Any]) -> bool:
    """Return whether the session was over or stopping before the close, and still is."""
    is_over = session["state"] in {"stopping", "stopped", "failed"}
    return is_over and bool(session.get("found_state") == session["state"])


def _as_it_ended(session: dict[str, Any]) -> str:
    why = ": ".join(part for part in (session["stop_reason"], session["stop_detail"]) if part)
    said = f"session {session['id']} is already {session['found_state']} ({why})"
    if session["found_state"] == "stopping":
        return f"{said}; its close is tried until it is proven"
    return f"{said}, since {when(session['ended_at'], datetime.now(UTC))}: nothing is left to close"


def _state(one: dict[str, Any]) -> str:
    state = f"{'orphan, ' if one['orphan'] else ''}{one.get('placement_state', one['state'])}"
    more = one["orphans_at_most"]
    return f"{state}, perhaps {more} more" if more else state


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    return (
        one["id"],
        one["account_id"] or "",
        one["provider"],
        one["handle"] or "",
        _state(one),
        str(timedelta(seconds=one["age_seconds"])),
        one["attempts"],
        _money(one),
        one["last_answer"] or "",
    )


def _forced_row(one: dict[str, Any]) -> tuple[Any, ...]:
    forced = one["forced"]
    where = (one["id"], one["provider"], one["handle"] or "")
    return (*where, forced["at"], forced["by"], forced["why"], _money(one), one["last_answer"] or "")


def _money(one: dict[str, Any]) -> str:
    return f"{one['money_at_risk']} {one['currency']}"
