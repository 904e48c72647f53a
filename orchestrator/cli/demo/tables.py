"""Tables of the live sessions, and of the summary."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.demo.checks import ProviderView, Summary
from orchestrator.cli.shared.fitting import Column, Fitted
from orchestrator.rules.text import numbered

_COLOURS: Mapping[str, str] = {
    "queued": "yellow",
    "starting": "cyan",
    "running": "green",
    "stopping": "magenta",
    "stopped": "dim",
    "failed": "red",
}
_COLUMNS = (
    Column("account", whole=True),
    Column("session"),
    Column("model", rank=2),
    Column("provider", rank=3),
    Column("state"),
    Column("reason"),
    Column("cost", rank=1),
    Column("last ping"),
)


def of_sessions(sessions: Sequence[dict[str, Any]], seconds: float) -> RenderableType:
    """Return a table with one row a session. Those of an account that were never started share one row."""
    shown: list[tuple[str | Text, ...]] = []
    for account, mine in groupby(sessions, key=lambda session: session["account_id"]):
        rows = list(mine)
        shown += [_cells(session) for session in rows if session["state"] != "created"]
        kept = [row for row in rows if row["state"] == "created"]
        if kept:
            shown.append(
                (account, numbered(len(kept), "session"), kept[0]["model_id"], "", "created", "", "", "")
            )
    return Group(Fitted(_COLUMNS, shown), Text(f"{seconds:.0f} s", "dim"))


def of_summary(summary: Summary) -> Iterator[RenderableType]:
    """Yield the comparison, the providers' view, and one last line."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("scene", no_wrap=True)
    table.add_column("what had to happen")
    table.add_column("what happened")
    table.add_column("")
    for check in summary.checks:
        mark = Text("✓", "green") if check.ok else Text("✗", "bold red")
        table.add_row(check.scene, Text(check.expected), Text(check.happened), mark)
    yield table
    if summary.provider_view:
        yield _of_providers(summary.provider_view)
    yield _last_line(summary)


def _cells(session: dict[str, Any]) -> tuple[str | Text, ...]:
    state, cost = session["state"], f"{session['cost']} {session['currency']}"
    return (
        session["account_id"],
        session["name"],
        session["model_id"],
        session["provider"] or "",
        Text(state, _COLOURS.get(state, "")),
        session["stop_reason"] or "",
        cost,
        _ping(session["last_ping"]),
    )


def _ping(last: dict[str, Any] | None) -> Text:
    if last is None:
        return Text("")
    at = datetime.fromisoformat(last["at"]).astimezone()
    return Text(f"{at:%H:%M:%S} {last['verdict']}", "" if last["verdict"] == "ALIVE" else "yellow")


def _of_providers(view: ProviderView) -> Text:
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(view.calls.items()))
    most = max((peak for keys in view.most_active_per_key.values() for peak in keys.values()), default=0)
    return Text(
        f"the providers' own view: open now {view.open_now}, most active per key {most},"
        f" pings after a confirmed close {view.pings_after_close}; calls: {calls}"
    )


def _last_line(summary: Summary) -> Text:
    wrong = sum(not check.ok for check in summary.checks)
    if summary.ok:
        return Text(f"all {len(summary.checks)} as they had to be, in {summary.seconds:.1f} s", "bold green")
    where = f"; logs: {summary.logs}" if summary.logs else ""
    return Text(f"{wrong} of {len(summary.checks)} not as they had to be{where}", "bold red")
