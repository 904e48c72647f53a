"""`account list|show|put|credit|ledger`."""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from orchestrator.cli.options import AsJson, Currency, Limit, given
from orchestrator.cli.output import pairs, print_json, say, show, table
from orchestrator.cli.reading import found_account, reading
from orchestrator.cli.sending import Json, sends
from orchestrator.cli.times import when

if TYPE_CHECKING:
    from orchestrator.store.unit import Transaction

app = typer.Typer()

AccountId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The account's id.")]
_ENTRY_COLUMNS = ("when", "kind", "amount", "from", "to", "session", "note")


def _show_account(account: Json) -> None:
    show(pairs(_rows_of(account, datetime.now(UTC))))


@app.command("list")
def list_accounts(limit: Limit = 1000, as_json: AsJson = False) -> None:
    """All accounts."""
    from orchestrator.flows import views

    with reading() as tx:
        now = tx.now()
        accounts = [views.of_account(account) for account in tx.accounts.listed(limit)]
    if as_json:
        return print_json(accounts)
    rows = [(a["id"], a["plan"], _balance(a), when(a["funds_end_at"], now)) for a in accounts]
    return show(table(("id", "plan", "balance", "funds end"), rows))


@app.command("show")
def show_account(account_id: AccountId, as_json: AsJson = False) -> None:
    """One account: its money, its quota, and the sessions that use it."""
    with reading() as tx:
        now = tx.now()
        account = _with_quota(tx, account_id, now)
    if as_json:
        return print_json(account)
    show(pairs([*_rows_of(account, now), *_quota_rows(account["quota"])]))
    rows = [(s["id"], s["name"], s["state"], s["model_id"], s["nodes"]) for s in account["sessions"]]
    return show(table(("id", "name", "state", "model", "nodes"), rows, title="sessions"))


@app.command()
@sends("account.put", _show_account)
def put(
    account_id: AccountId,
    plan: Annotated[str, typer.Option(help="A plan of the configuration, such as payg.")],
    currency: Currency,
) -> Json:
    """Create an account, or move it to another plan."""
    return given(account_id=account_id, plan=plan, currency=currency)


@app.command()
@sends("account.credit", _show_account)
def credit(
    account_id: AccountId,
    amount: Annotated[str, typer.Option(help="A decimal, such as 25.00.")],
    currency: Currency,
    key: Annotated[str | None, typer.Option(help="Credits once, however often it is repeated.")] = None,
) -> Json:
    """Give an account money."""
    if key is None:
        key = str(uuid.uuid4())
        say(f"key {key}: repeat the command with --key {key}, and it credits once")
    return given(account_id=account_id, amount=amount, currency=currency, key=key)


@app.command()
def ledger(account_id: AccountId, limit: Limit = 100, as_json: AsJson = False) -> None:
    """Every movement of an account's money, newest first."""
    from orchestrator.flows import views

    with reading() as tx:
        now = tx.now()
        found_account(tx, account_id)
        entries = [views.of_entry(entry) for entry in tx.ledger.of_account(account_id, limit)]
    if as_json:
        return print_json(entries)
    return show(table(_ENTRY_COLUMNS, [_entry_row(entry, now) for entry in entries]))


def _with_quota(tx: "Transaction", account_id: str, now: datetime) -> Json:
    """The account, what its plan allows, what it uses of that, and by which sessions."""
    from orchestrator import wiring
    from orchestrator.flows import views
    from orchestrator.rules import money
    from orchestrator.rules.values import ZERO, Plan
    from orchestrator.settings import load_settings

    configuration = wiring.read_configuration(load_settings())
    account = found_account(tx, account_id)
    plan = configuration.plan(account.plan) or Plan(name=account.plan)
    debts: dict[str | None, float] = {None: configuration.policy.cleanup_debt_after_seconds}
    debts |= {name: one.policy.cleanup_debt_after_seconds for name, one in configuration.providers.items()}
    used = tx.sessions.usage(account_id, now, debts)
    sessions = tx.sessions.listed(account_id=account_id, limit=1000)
    unposted = sum((money.uncharged(session, now) for session in sessions), ZERO)
    quota = {
        "sessions": {"used": used.total, "allowed": plan.max_sessions},
        "concurrent": {"used": used.concurrent, "allowed": plan.max_concurrent},
        "nodes_per_session": {"allowed": plan.max_nodes},
    }
    named = [{k: views.of_session(tx, s, now)[k] for k in _SESSION_FIELDS} for s in sessions]
    beside = {"not_yet_charged": views.as_text(unposted), "quota": quota, "sessions": named}
    return views.of_account(account) | beside


_SESSION_FIELDS = ("id", "name", "state", "model_id", "nodes")


def _rows_of(account: Json, now: datetime) -> list[tuple[str, Any]]:
    return [
        ("id", account["id"]),
        ("plan", account["plan"]),
        ("balance", _balance(account)),
        ("not yet charged", account.get("not_yet_charged")),
        ("funds end", when(account["funds_end_at"], now)),
        ("created", when(account["created_at"], now)),
    ]


def _quota_rows(quota: Json) -> list[tuple[str, str]]:
    rows = []
    for name, numbers in quota.items():
        allowed = "any number" if numbers["allowed"] is None else numbers["allowed"]
        used = f"{numbers['used']} of " if "used" in numbers else "at most "
        rows.append((name.replace("_", " "), f"{used}{allowed}"))
    return rows


def _entry_row(entry: Json, now: datetime) -> tuple[Any, ...]:
    amount = f"{entry['amount']} {entry['currency']}"
    session = entry["session_id"] or ""
    return (
        when(entry["at"], now),
        entry["kind"],
        amount,
        entry["debit"],
        entry["credit"],
        session,
        entry["note"],
    )


def _balance(account: Json) -> str:
    return f"{account['balance']} {account['currency']}"
