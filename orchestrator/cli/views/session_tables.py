"""Tables of sessions."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import ALL_LINES, Column, Forms
from orchestrator.cli.shared.output import money_of, show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import coloured, pairs, table
from orchestrator.cli.shared.times import away, aways, when, whens

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.rules.values import Placement
    from orchestrator.store.queries.outbox import WaitingEvent

_COLOURS = {
    "created": "dim",
    "queued": "yellow",
    "starting": "cyan",
    "running": "green",
    "stopping": "magenta",
    "stopped": "dim",
    "failed": "red",
}
#: What a queued session lacks, in a word.
_WAITS = {
    "quota_concurrent_exceeded": "a slot",
    "queue_ahead": "its turn",
    "quota_nodes_exceeded": "nodes",
    "insufficient_balance": "funds",
    "budget_exceeded": "the next period of its budget",
    "burn_rate_exceeded": "a lower burn rate",
    "no_capacity": "a credential",
}
_COLUMNS = (
    Column("id", whole=True),
    Column("name", rank=6),
    Column("account", rank=3),
    Column("model", rank=2),
    Column("state"),
    Column("provider", rank=5),
    Column("stops"),
    Column("cost", rank=4),
    Column("last ping", rank=1),
)
_PLACEMENTS = (
    Column("n", whole=True),
    Column("provider"),
    Column("credential", rank=3),
    Column("handle", rank=4),
    Column("state"),
    Column("created", rank=2),
    Column("next step", rank=1),
    Column("last answer", prose=ALL_LINES),
)
_EVENTS = (Column("when"), Column("event"), Column("subject"), Column("", prose=2))


def listed(sessions: Sequence[dict[str, Any]], now: datetime, marked: int | None = None) -> "RenderableType":
    """Return a table with one line a session. A narrow terminal leaves out the name: the id is what people copy."""
    ids = id_cells(session["id"] for session in sessions)
    return table(_COLUMNS, [_row(session, ids[session["id"]], now) for session in sessions], marked=marked)


def details(session: dict[str, Any], now: datetime) -> "RenderableType":
    """Return everything about one session. Leave out what has no value."""
    return pairs([*_what(session), *_life(session, now), *_serving(session, now), *_beside(session, now)])


def placements(rows: Sequence["Placement"], now: datetime) -> "RenderableType":
    """Return a table of the session's placements, oldest first."""
    shown = [
        (
            p.n,
            p.provider,
            p.credential or "",
            p.handle or "",
            p.state.value,
            whens(p.created_at.isoformat(), now),
            _next_step(p, now),
            _answer(p),
        )
        for p in rows
    ]
    return table(_PLACEMENTS, shown, title="placements")


def events(rows: Sequence["WaitingEvent"], now: datetime, title: str | None = None) -> "RenderableType":
    """Return a table of the events, oldest first."""
    subjects = id_cells(e.subject for e in rows)
    shown = [(whens(e.time.isoformat(), now), _kind(e), subjects[e.subject], event_note(e)) for e in rows]
    return table(_EVENTS, shown, title=title)


def _kind(event: "WaitingEvent") -> str:
    return event.type.removeprefix("orchestrator.")


def event_note(event: "WaitingEvent") -> str:
    """Return why the event happened, its amount, or how much of a budget is used."""
    data = event.data
    if event.type.endswith((".credited", ".debited")):
        return f"{data['amount']} {data['currency']}"
    if event.type.endswith(".budget_reached"):
        return f"{data['percent']} % of {data['budget']} {data['currency']} a {data['period']}"
    if event.type.startswith("orchestrator.installation."):
        return _concern(data)
    found = (data.get(key) for key in ("stop_detail", "stop_reason", "last_answer", "proof"))
    why = next((str(text) for text in found if text), "")
    return ", ".join(filter(None, (why, change_note(data["change"]) if "change" in data else "")))


def change_note(change: Mapping[str, Any]) -> str:
    """Return what was changed, how, and who did it."""
    how = ", ".join(f"{name} {value}" for name, value in change["arguments"].items())
    return f"{change['job'].rpartition('.')[2]} by {change['author']}" + (f": {how}" if how else "")


def _concern(alarm: Mapping[str, Any]) -> str:
    """Return what an alarm of the installation concerns; else why it was raised or why it ended."""
    return str(alarm.get("about") or alarm.get("ended_by") or alarm.get("reason") or "")


def show_result(session: dict[str, Any]) -> None:
    """Show the session after a job."""
    show(details(session, datetime.now(UTC)))


def _row(session: dict[str, Any], its_id: Forms, now: datetime) -> tuple[Any, ...]:
    return (
        its_id,
        session["name"],
        session["account_id"],
        session["model_id"] or "",
        _state_or_turn(session),
        session["provider"] or "",
        _stop_in_short(session, now),
        Forms([money_of(session, "cost"), _about(session, "cost")]),
        _ping_in_short(session, now),
    )


def _what(session: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("id", session["id"]),
        ("name", session["name"]),
        ("description", session["description"]),
        ("account", session["account_id"]),
        ("model", session["model_id"]),
        ("nodes", session["nodes"]),
        ("failover", "yes" if session["failover"] else None),
        ("metadata", json.dumps(session["metadata"], ensure_ascii=False) if session["metadata"] else None),
    ]


def _life(session: dict[str, Any], now: datetime) -> list[tuple[str, Any]]:
    return [
        ("state", _state(session)),
        ("queue", _queue(session)),
        ("created", when(session["created_at"], now)),
        ("running since" if session["stop_reason"] is None else "ran from", when(session["running_at"], now)),
        ("stops", _stop(session, now) if session["stop_reason"] is None else None),
        ("stopped for", _why(session)),
        ("ended", when(session["ended_at"], now)),
        ("deleted", when(session["deleted_at"], now)),
        ("archived", when(session["archived_at"], now)),
    ]


def _serving(session: dict[str, Any], now: datetime) -> list[tuple[str, Any]]:
    placement, endpoint = session["placement"] or {}, session["endpoint"] or {}
    return [
        ("provider", session["provider"]),
        ("credential", placement.get("credential")),
        ("endpoint", endpoint.get("url")),
        ("last ping", _ping(session, now)),
        ("next step", _step(session["next_step"], session["next_step_at"], now)),
    ]


def _beside(session: dict[str, Any], now: datetime) -> list[tuple[str, Any]]:
    unproven = session["unproven_since"]
    return [
        ("interactions", session["interactions"]),
        ("cost", money_of(session, "cost")),
        ("close unproven", coloured(when(unproven, now), "red") if unproven else None),
        ("money at risk", money_of(session, "money_at_risk") if unproven else None),
        *(("close forced", coloured(_forced(closed, session), "red")) for closed in session["forced_closes"]),
    ]


def _forced(closed: dict[str, Any], session: dict[str, Any]) -> str:
    risk = f"{closed['money_at_risk']} {session['currency']} at risk until then"
    return f"by {closed['by']} at {closed['at']}, without proof: {closed['why']} ({risk})"


def _state(session: dict[str, Any]) -> "RenderableType":
    return coloured(session["state"], _COLOURS[session["state"]])


def _state_or_turn(session: dict[str, Any]) -> "RenderableType | Forms":
    """Return the state; for a queued session also its place and what it waits for."""
    turn = _queue(session)
    if turn is None:
        return _state(session)
    short = f"queued, number {session['queue_position']}"
    return Forms([f"queued: {turn}", short, "queued"], style=_COLOURS["queued"])


def _stop(session: dict[str, Any], now: datetime) -> str:
    """Return the next stop and its reason; for a stopped session, why and when it ended."""
    if session["stop_reason"] is not None:
        return f"{session['stop_reason']} {away(session['ended_at'], now)}".strip()
    if session["stop_at"] is None:
        return ""
    return f"{when(session['stop_at'], now)} {session['stop_at_reason'] or ''}".strip()


def _stop_in_short(session: dict[str, Any], now: datetime) -> Forms:
    """Return the same for a line of a list: how far away, and why."""
    if session["stop_reason"] is not None:
        return Forms(
            [_stop(session, now), f"{session['stop_reason']} {away(session['ended_at'], now, 1)}".strip()]
        )
    return Forms(aways(session["stop_at"], now, session["stop_at_reason"] or ""))


def _ping_in_short(session: dict[str, Any], now: datetime) -> Forms:
    ping = session["last_ping"]
    if not ping:
        return Forms([""])
    full, short = aways(ping["at"], now)
    return Forms([f"{ping['verdict']} {full}", f"{ping['verdict']} {short.removesuffix(' ago')}"])


def _why(session: dict[str, Any]) -> str:
    return ": ".join(part for part in (session["stop_reason"], session["stop_detail"]) if part)


def _queue(session: dict[str, Any]) -> str | None:
    if session["queue_position"] is None:
        return None
    return f"number {session['queue_position']}, waits for {_WAITS.get(session['queue_reason'], 'its turn')}"


def _ping(session: dict[str, Any], now: datetime) -> str:
    ping = session["last_ping"]
    if not ping:
        return ""
    took = "" if ping["latency_ms"] is None else f", {ping['latency_ms']} ms"
    return f"{ping['verdict']} {away(ping['at'], now)}{took}"


def _answer(placement: "Placement") -> str:
    """Return what the provider said last, and whether an open with a lost answer may have left more there than is
    known."""
    said = placement.proof or placement.last_answer or ""
    if not placement.possible_orphans:
        return said
    most = f", {placement.orphans_at_most} at most" if placement.orphans_at_most else ""
    return f"{said} (possible orphans at the provider{most})".strip()


def _step(step: str | None, at: str | None, now: datetime) -> str:
    return f"{step} {when(at, now)}" if step else ""


def _next_step(placement: "Placement", now: datetime) -> Forms:
    if placement.due is None:
        return Forms([""])
    step, at = placement.due.step.value, placement.due.at.isoformat()
    return Forms([f"{step} {text}" for text in (when(at, now), *aways(at, now))])


def _about(session: dict[str, Any], field: str) -> str:
    """Return an amount to two places, which a narrow table has room for."""
    return f"{Decimal(session[field]):.2f} {session['currency']}"
