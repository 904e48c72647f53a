"""Tables of closes without proof. Each costs money until an operator looks."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import Column, Forms
from orchestrator.cli.shared.output import money_of, show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import pairs, table
from orchestrator.cli.shared.times import when, whens
from orchestrator.rules.durations import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = (
    Column("id", whole=True),
    Column("account", rank=4),
    Column("provider"),
    Column("handle", rank=2),
    Column("state", rank=5),
    Column("age"),
    Column("tries", rank=3),
    Column("money at risk"),
    Column("last answer", rank=1, prose=2),
)
_FORCED = (
    Column("id", whole=True),
    Column("provider"),
    Column("handle", rank=3),
    Column("at"),
    Column("by", rank=1),
    Column("why", prose=2),
    Column("money at risk", rank=2),
    Column("last answer", rank=4, prose=2),
)


def listed(entries: Sequence[dict[str, Any]], now: datetime) -> list["RenderableType"]:
    """Return the closes that are still tried, and those that were forced."""
    parts = [table(_COLUMNS, _rows([one for one in entries if one["forced"] is None]))]
    forced = [one for one in entries if one["forced"] is not None]
    if forced:
        ids = id_cells(one["id"] for one in forced)
        rows = [_forced_row(one, ids[one["id"]], now) for one in forced]
        parts.append(table(_FORCED, rows, title="forced, without any proof"))
    return parts


def orphans(entries: Sequence[dict[str, Any]]) -> list["RenderableType"]:
    """Return the known resources there, and what opens with lost answers may have left."""
    more = [one for one in entries if not one["orphan"]]
    certain = table(_COLUMNS, _rows([one for one in entries if one["orphan"]]))
    return [certain, *(possible(more) if more else [])]


def possible(entries: Sequence[dict[str, Any]]) -> list["RenderableType"]:
    """Return the possible orphans that no list shows: a person must look for them."""
    title = "opens that may have left more at the provider"
    return [table(_COLUMNS, _rows(entries), title=title)]


def show_closed(result: dict[str, Any]) -> None:
    """Show the result of a close of a session, or of an orphan."""
    if not result.get("orphan"):
        from orchestrator.cli.views.session_tables import show_result

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
                ("money at risk", money_of(result, "money_at_risk")),
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
        return f"{said}; its close is retried until it is proven"
    return f"{said}, since {when(session['ended_at'], datetime.now(UTC))}: nothing is left to close"


def _state(one: dict[str, Any]) -> str:
    state = f"{'orphan, ' if one['orphan'] else ''}{one.get('placement_state', one['state'])}"
    more = one["orphans_at_most"]
    return f"{state}, perhaps {more} more" if more else state


def _rows(entries: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    ids = id_cells(one["id"] for one in entries)
    return [_row(one, ids[one["id"]]) for one in entries]


def _row(one: dict[str, Any], its_id: Forms) -> tuple[Any, ...]:
    age = one["age_seconds"]
    return (
        its_id,
        one["account_id"] or "",
        one["provider"],
        one["handle"] or "",
        _state(one),
        Forms([duration_text(age), duration_text(age, 1)]),
        one["attempts"],
        money_of(one, "money_at_risk"),
        one["last_answer"] or "",
    )


def _forced_row(one: dict[str, Any], its_id: Forms, now: datetime) -> tuple[Any, ...]:
    forced = one["forced"]
    where = (its_id, one["provider"], one["handle"] or "")
    return (
        *where,
        whens(forced["at"], now),
        forced["by"],
        forced["why"],
        money_of(one, "money_at_risk"),
        one["last_answer"] or "",
    )
