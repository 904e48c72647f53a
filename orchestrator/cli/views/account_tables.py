"""Tables of accounts for people, and their ledger for spreadsheets."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import Column, Forms
from orchestrator.cli.shared.output import money_of, print_table_as_csv, show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import pairs, table
from orchestrator.cli.shared.times import aways, when, whens
from orchestrator.rules.durations import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = dict[str, Any]

_LISTED = (Column("id", whole=True), Column("plan", rank=1), Column("balance"), Column("funds end"))
_QUOTA = (Column("quota", whole=True), Column("used"), Column("allowed"), Column("sessions"))
_SESSIONS = (
    Column("id", whole=True),
    Column("name", rank=1),
    Column("state"),
    Column("model"),
    Column("nodes"),
    Column(""),
)
_LEDGER = (
    Column("id", whole=True),
    Column("when"),
    Column("kind"),
    Column("amount"),
    Column("balance", rank=2),
    Column("from", rank=4),
    Column("to", rank=5),
    Column("session", rank=3),
    Column("note", rank=1, prose=2),
)
_CSV = ("id", "at", "kind", "amount", "currency", "debit", "credit", "balance", "session_id", "key", "note")
_FORECAST = (
    Column("id", whole=True),
    Column("name", rank=5),
    Column("state"),
    Column("nodes", rank=2),
    Column("price", rank=3),
    Column("per hour"),
    Column("charged", rank=4),
    Column("cost"),
    Column("next block", rank=1),
    Column("stop at"),
)
#: Ids that are shown beside a quota; --json has all.
_SOME = 5


def show_result(account: Json) -> None:
    """Show the account after a job."""
    show(pairs(rows_of(account, datetime.now(UTC))))


def listed(accounts: Sequence[Json], now: datetime) -> "RenderableType":
    """Return a table with one line for each account."""
    rows = [(a["id"], a["plan"], money_of(a, "balance"), whens(a["funds_end_at"], now)) for a in accounts]
    return table(_LISTED, rows)


def rows_of(account: Json, now: datetime) -> list[tuple[str, Any]]:
    """Return what an account is, as names and values. A table leaves out the names without a value."""
    own = ", ".join(f"{name} = {limit}" for name, limit in account["own_quota"].items())
    overdraft = account["overdraft_limit"]
    return [
        ("id", account["id"]),
        ("plan", account["plan"]),
        ("own quota", own),
        ("own overdraft", None if overdraft is None else f"{overdraft} {account['currency']}"),
        ("balance", money_of(account, "balance")),
        ("not yet charged", money_of(account, "not_yet_charged") if "not_yet_charged" in account else None),
        ("funds end", when(account["funds_end_at"], now)),
        ("ended by", _ended_by(account)),
        ("created", when(account["created_at"], now)),
    ]


def quota(account: Json) -> "RenderableType":
    """Return what is used of each quota, what is allowed, and by which sessions it is used."""
    return table(_QUOTA, _quota_rows(account["quota"]), title="quota")


def sessions(account: Json) -> "RenderableType":
    """Return a table of the sessions that are not deleted."""
    ids = id_cells(s["id"] for s in account["sessions"])
    rows = [
        (
            ids[s["id"]],
            s["name"],
            s["state"],
            s["model_id"],
            s["nodes"],
            "our debt" if s["cleanup_debt"] else "",
        )
        for s in account["sessions"]
    ]
    return table(_SESSIONS, rows, title="sessions")


def ledger(lines: Sequence[Json], now: datetime) -> "RenderableType":
    """Return a table of all movements, newest first."""
    sessions = id_cells(line["session_id"] for line in lines)
    return table(_LEDGER, [_ledger_row(line, sessions[line["session_id"]], now) for line in lines])


def print_csv(lines: Iterable[Json]) -> None:
    """Print the same for programs: times in UTC, decimals with a point."""
    print_table_as_csv(_CSV, lines)


def forecast(view: Json, now: datetime) -> list["RenderableType"]:
    """Return how long the money lasts, and each session's part in that."""
    left = view["seconds_left"]
    summary = [
        ("id", view["id"]),
        ("balance", money_of(view, "balance")),
        ("not yet charged", money_of(view, "not_yet_charged")),
        ("overdraft", money_of(view, "overdraft_allowed")),
        ("available", money_of(view, "available")),
        ("burns per hour", money_of(view, "burn_per_hour")),
        ("funds end", when(view["funds_end_at"], now) or "not with the present sessions"),
        ("ended by", _ended_by(view)),
        ("time left", None if left is None else duration_text(left)),
        ("then stops", view["funds_end_session_id"]),
    ]
    ids = id_cells(session["id"] for session in view["sessions"])
    rows = [_forecast_row(session, ids[session["id"]], now) for session in view["sessions"]]
    return [pairs(summary), table(_FORECAST, rows, title="sessions")]


_BUDGETS = (
    Column("period"),
    Column("since", rank=2),
    Column("amount", whole=True),
    Column("used"),
    Column("left"),
    Column("reached", rank=1),
    Column("stops sessions", rank=2),
    Column("per hour at most", rank=3),
)


def show_budgets(view: Json) -> None:
    """Show a table with one line for each budget."""
    if not view["budgets"]:
        return show("no budget: `orchestrator account budget` sets one")
    rows = [
        (
            one["period"],
            one["since"],
            f"{one['amount']} {view['currency']}",
            one["used"],
            one["left"],
            f"{one['reached_percent']} %",
            _stops(one),
            one["max_burn_per_hour"] or "any",
        )
        for one in view["budgets"]
    ]
    return show(table(_BUDGETS, rows))


def _stops(budget: Json) -> str:
    return budget["stops_at"] or ("at its end" if budget["hard_stop"] else "no")


def _ended_by(account: Json) -> str | None:
    """Return which budget ends the funds; None if the balance does, or nothing."""
    by = account["funds_end_by"]
    return None if by in (None, "balance") else f"the budget of the {by}"


def _quota_rows(numbers: Json) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    cells = id_cells(one for row in numbers.values() for one in row["sessions"])
    for name, row in numbers.items():
        allowed = "any number" if row.get("allowed") is None else str(row["allowed"])
        allowed = f"{allowed} (its own)" if row.get("own") else allowed
        allowed = "not counted" if name == "cleanup_debt" else allowed
        ids = row["sessions"]
        shown = [_some(ids, _SOME), _some([cells[one].texts[-1] for one in ids], 2)]
        rows.append((name.replace("_", " "), str(row["used"]), allowed, Forms(shown)))
    return rows


def _some(ids: Sequence[str], most: int) -> str:
    return " ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def _ledger_row(line: Json, session: Forms, now: datetime) -> tuple[Any, ...]:
    return (
        line["id"],
        whens(line["at"], now),
        line["kind"],
        money_of(line, "amount"),
        line["balance"] or "archived",
        line["debit"],
        line["credit"],
        session,
        line["note"],
    )


def _forecast_row(session: Json, its_id: Forms, now: datetime) -> tuple[Any, ...]:
    why = session["stop_at_reason"] or ""
    return (
        its_id,
        session["name"],
        session["state"],
        session["nodes"],
        session["price_per_node_hour"],
        session["cost_per_hour"],
        session["charged"],
        session["cost"],
        whens(session["next_block_at"], now),
        Forms([f"{when(session['stop_at'], now)} {why}".strip(), *aways(session["stop_at"], now, why)]),
    )
