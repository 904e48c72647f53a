"""Tables of sessions."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import coloured, is_wide, pairs, show, table
from orchestrator.cli.times import away, when

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
    "no_capacity": "a credential",
}
_COLUMNS = ("id", "name", "account", "model", "state", "provider", "stops", "cost", "last ping")


def listed(sessions: Sequence[dict[str, Any]], now: datetime) -> "RenderableType":
    """Return a table with one line a session. A narrow terminal leaves out the name: the id is what people copy."""
    shown = [n for n, column in enumerate(_COLUMNS) if column != "name" or is_wide()]
    rows = [_row(session, now) for session in sessions]
    return table([_COLUMNS[n] for n in shown], [[row[n] for n in shown] for row in rows])


def details(session: dict[str, Any], now: datetime) -> "RenderableType":
    """Return everything about one session. Leave out what has no value."""
    return pairs([*_what(session), *_life(session, now), *_serving(session, now), *_beside(session, now)])


def placements(rows: Sequence["Placement"], now: datetime) -> "RenderableType":
    """Return a table of the session's placements, oldest first."""
    columns = ("n", "provider", "credential", "handle", "state", "created", "next step", "last answer")
    shown = [
        (
            p.n,
            p.provider,
            p.credential or "",
            p.handle or "",
            p.state.value,
            when(p.created_at.isoformat(), now),
            _step(p.next_step, p.next_step_at.isoformat() if p.next_step_at else None, now),
            _answer(p),
        )
        for p in rows
    ]
    return table(columns, shown, title="placements")


def events(rows: Sequence["WaitingEvent"], now: datetime, title: str | None = None) -> "RenderableType":
    """Return a table of the events, oldest first."""
    shown = [
        (when(e.time.isoformat(), now), e.type.removeprefix("orchestrator."), e.subject, event_note(e))
        for e in rows
    ]
    return table(("when", "event", "subject", ""), shown, title=title)


def event_note(event: "WaitingEvent") -> str:
    """Return why the event happened, or its amount."""
    data = event.data
    if event.type.endswith((".credited", ".debited")):
        return f"{data['amount']} {data['currency']}"
    if event.type.startswith("orchestrator.installation."):
        return _about(data)
    found = (data.get(key) for key in ("stop_detail", "stop_reason", "last_answer", "proof"))
    return next((str(text) for text in found if text), "")


def _about(alarm: Mapping[str, Any]) -> str:
    """Return what an alarm of the installation concerns; else why it was raised or why it ended."""
    return str(alarm.get("about") or alarm.get("ended_by") or alarm.get("reason") or "")


def show_result(session: dict[str, Any]) -> None:
    """Show the session after a job."""
    show(details(session, datetime.now(UTC)))


def _row(session: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        session["id"],
        session["name"],
        session["account_id"],
        session["model_id"] or "",
        _state_or_turn(session),
        session["provider"] or "",
        _stop_in_short(session, now),
        _money(session, "cost"),
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
        ("cost", _money(session, "cost")),
        ("close unproven", coloured(when(unproven, now), "red") if unproven else None),
        ("money at risk", _money(session, "money_at_risk") if unproven else None),
        *(("close forced", coloured(_forced(closed, session), "red")) for closed in session["forced_closes"]),
    ]


def _forced(closed: dict[str, Any], session: dict[str, Any]) -> str:
    risk = f"{closed['money_at_risk']} {session['currency']} at risk until then"
    return f"by {closed['by']} at {closed['at']}, without proof: {closed['why']} ({risk})"


def _state(session: dict[str, Any]) -> "RenderableType":
    return coloured(session["state"], _COLOURS[session["state"]])


def _state_or_turn(session: dict[str, Any]) -> "RenderableType":
    """Return the state; for a queued session also its place and what it waits for."""
    turn = _queue(session)
    return coloured(f"queued: {turn}", _COLOURS["queued"]) if turn else _state(session)


def _stop(session: dict[str, Any], now: datetime) -> str:
    """Return the next stop and its reason; for a stopped session, why and when it ended."""
    if session["stop_reason"] is not None:
        return f"{session['stop_reason']} {away(session['ended_at'], now)}".strip()
    if session["stop_at"] is None:
        return ""
    return f"{when(session['stop_at'], now)} {session['stop_at_reason'] or ''}".strip()


def _stop_in_short(session: dict[str, Any], now: datetime) -> str:
    """Return the same for a line of a list: how far away, and why."""
    if session["stop_reason"] is not None or session["stop_at"] is None:
        return _stop(session, now)
    return f"{away(session['stop_at'], now)} {session['stop_at_reason'] or ''}".strip()


def _ping_in_short(session: dict[str, Any], now: datetime) -> str:
    ping = session["last_ping"]
    return f"{ping['verdict']} {away(ping['at'], now)}" if ping else ""


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


def _money(session: dict[str, Any], field: str) -> str:
    return f"{session[field]} {session['currency']}"
