"""Tables of accounts for people, and their ledger for spreadsheets."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import is_wide, pairs, print_table_as_csv, show, table
from orchestrator.cli.times import away, span, when

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = dict[str, Any]

_LEDGER = ("id", "when", "kind", "amount", "balance", "from", "to", "session", "note")
_CSV = ("id", "at", "kind", "amount", "currency", "debit", "credit", "balance", "session_id", "key", "note")
_FORECAST = ("id", "name", "state", "nodes", "price", "per hour", "charged", "cost", "next block", "stop at")
#: What a terminal of 100 columns has room for; a wide one, a file and --json have all.
_FORECAST_IN_SHORT = ("id", "state", "per hour", "cost", "stop at")
#: Ids that are shown beside a quota; --json has all.
_SOME = 5


def show_result(account: Json) -> None:
    """Show the account after a job."""
    show(pairs(rows_of(account, datetime.now(UTC))))


def listed(accounts: Sequence[Json], now: datetime) -> "RenderableType":
    """Return a table with one line for each account."""
    rows = [(a["id"], a["plan"], _money(a, "balance"), when(a["funds_end_at"], now)) for a in accounts]
    return table(("id", "plan", "balance", "funds end"), rows)


def rows_of(account: Json, now: datetime) -> list[tuple[str, Any]]:
    """Return what an account is, as names and values. A table leaves out the names without a value."""
    own = ", ".join(f"{name} = {limit}" for name, limit in account["own_quota"].items())
    overdraft = account["overdraft_limit"]
    return [
        ("id", account["id"]),
        ("plan", account["plan"]),
        ("own quota", own),
        ("own overdraft", None if overdraft is None else f"{overdraft} {account['currency']}"),
        ("balance", _money(account, "balance")),
        ("not yet charged", _money(account, "not_yet_charged") if "not_yet_charged" in account else None),
        ("funds end", when(account["funds_end_at"], now)),
        ("created", when(account["created_at"], now)),
    ]


def quota(account: Json) -> "RenderableType":
    """Return what is used of each quota, what is allowed, and by which sessions it is used."""
    return table(("quota", "used", "allowed", "sessions"), _quota_rows(account["quota"]), title="quota")


def sessions(account: Json) -> "RenderableType":
    """Return a table of the sessions that are not deleted."""
    rows = [
        (s["id"], s["name"], s["state"], s["model_id"], s["nodes"], "our debt" if s["cleanup_debt"] else "")
        for s in account["sessions"]
    ]
    return table(("id", "name", "state", "model", "nodes", ""), rows, title="sessions")


def ledger(lines: Iterable[Json], now: datetime) -> "RenderableType":
    """Return a table of all movements, newest first."""
    return table(_LEDGER, [_ledger_row(line, now) for line in lines])


def print_csv(lines: Iterable[Json]) -> None:
    """Print the same for programs: times in UTC, decimals with a point."""
    print_table_as_csv(_CSV, lines)


def forecast(view: Json, now: datetime) -> list["RenderableType"]:
    """Return how long the money lasts, and each session's part in that."""
    left = view["seconds_left"]
    summary = [
        ("id", view["id"]),
        ("balance", _money(view, "balance")),
        ("not yet charged", _money(view, "not_yet_charged")),
        ("overdraft", _money(view, "overdraft_allowed")),
        ("available", _money(view, "available")),
        ("burns per hour", _money(view, "burn_per_hour")),
        ("funds end", when(view["funds_end_at"], now) or "not with the sessions that run now"),
        ("time left", None if left is None else span(left)),
        ("then stops", view["funds_end_session_id"]),
    ]
    row, columns = (_forecast_row, _FORECAST) if is_wide() else (_forecast_in_short, _FORECAST_IN_SHORT)
    rows = [row(session, now) for session in view["sessions"]]
    return [pairs(summary), table(columns, rows, title="sessions")]


def _quota_rows(numbers: Json) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, row in numbers.items():
        allowed = "any number" if row.get("allowed") is None else str(row["allowed"])
        allowed = f"{allowed} (its own)" if row.get("own") else allowed
        allowed = "not counted" if name == "cleanup_debt" else allowed
        ids = row["sessions"]
        more = f" and {len(ids) - _SOME} more" if len(ids) > _SOME else ""
        rows.append((name.replace("_", " "), str(row["used"]), allowed, " ".join(ids[:_SOME]) + more))
    return rows


def _ledger_row(line: Json, now: datetime) -> tuple[Any, ...]:
    return (
        line["id"],
        when(line["at"], now),
        line["kind"],
        _money(line, "amount"),
        line["balance"] or "archived",
        line["debit"],
        line["credit"],
        line["session_id"] or "",
        line["note"],
    )


def _forecast_row(session: Json, now: datetime) -> tuple[Any, ...]:
    return (
        session["id"],
        session["name"],
        session["state"],
        session["nodes"],
        session["price_per_node_hour"],
        session["cost_per_hour"],
        session["charged"],
        session["cost"],
        when(session["next_block_at"], now),
        f"{when(session['stop_at'], now)} {session['stop_at_reason'] or ''}".strip(),
    )


def _forecast_in_short(session: Json, now: datetime) -> tuple[Any, ...]:
    return (
        session["id"],
        session["state"],
        session["cost_per_hour"],
        session["cost"],
        f"{away(session['stop_at'], now)} {session['stop_at_reason'] or ''}".strip(),
    )


def _money(amounts: Json, name: str) -> str:
    return f"{amounts[name]} {amounts['currency']}"
