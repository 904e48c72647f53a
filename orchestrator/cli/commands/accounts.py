"""`account list|show|put|credit|debit|budget|budgets|ledger|forecast`."""

import uuid
from typing import Annotated, TypeAlias

import typer

from orchestrator.cli.shared.known import ACCOUNT, known
from orchestrator.cli.shared.options import NO_LIMIT, All, AsJson, Currency, Limit, Since, given
from orchestrator.cli.shared.output import print_json, say, show
from orchestrator.cli.shared.reading import configured, found_account, reading
from orchestrator.cli.shared.sending import Json, sends
from orchestrator.cli.shared.spans import instant_of
from orchestrator.cli.shared.tables import pairs
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.views import account_tables
from orchestrator.rules.values.budgets import BudgetPeriod

app = typer.Typer()

AccountId: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help="The account's id, or its beginning.", **known(ACCOUNT))
]
NewId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The account's whole id.")]
#: A whole number, "unlimited" or "plan". The job's request says what is wrong with anything else.
Most: TypeAlias = Annotated[
    str | None, typer.Option(help='A limit, "unlimited", or "plan" for the limit of its plan.')
]


@app.command("list")
def list_accounts(
    limit: Limit = 100,
    everything: All = False,
    after: Annotated[str, typer.Option(metavar="ID", help="After this id: the next page.")] = "",
    as_json: AsJson = False,
) -> None:
    """List accounts by their ids."""
    from orchestrator.flows.reports import views

    limit = NO_LIMIT if everything else limit
    with reading() as tx:
        now = tx.now()
        found = tx.pages.accounts(limit + 1, after)
        total = tx.accounts.count() if len(found) > limit else 0
    accounts = [views.of_account(account) for account in found[:limit]]
    if as_json:
        print_json(accounts)
    else:
        show(account_tables.listed(accounts, now))
    if len(found) > limit:
        say(f"{limit} of {total} accounts: `--after {accounts[-1]['id']}` shows the next, `--all` shows all")


@app.command("show")
def show_account(account_id: AccountId, as_json: AsJson = False) -> None:
    """Show one account: its money, its quota used and allowed, and the sessions that use it."""
    from orchestrator.flows.reports.account_view import with_quota

    with reading() as tx:
        now = tx.now()
        account = with_quota(tx, configured(), found_account(tx, account_id), now)
    if as_json:
        return print_json(account)
    summary = pairs(account_tables.rows_of(account, now))
    return show(summary, account_tables.quota(account), account_tables.sessions(account))


@app.command()
@sends("account.put", account_tables.show_result)
def put(
    account_id: NewId,
    plan: Annotated[str, typer.Option(help="A plan of the configuration, such as payg.")],
    currency: Currency,
    max_sessions: Most = None,
    max_concurrent: Most = None,
    max_nodes: Most = None,
    max_nodes_total: Most = None,
    overdraft_limit: Annotated[
        str | None,
        typer.Option(help='How far its balance may go below zero; "plan" for the limit of its plan.'),
    ] = None,
) -> Json:
    """Create an account, or change it: limits of its own that are left out stay as they are."""
    quota = given(
        max_sessions=_limit(max_sessions),
        max_concurrent=_limit(max_concurrent),
        max_nodes=_limit(max_nodes),
        max_nodes_total=_limit(max_nodes_total),
    )
    return given(
        account_id=account_id, plan=plan, currency=currency, quota=quota, overdraft_limit=overdraft_limit
    )


@app.command()
@sends("account.credit", account_tables.show_result)
def credit(
    account_id: AccountId,
    amount: Annotated[str, typer.Option(help="A decimal, such as 25.00.")],
    currency: Currency,
    key: Annotated[
        str | None, typer.Option(help="Credit only once, even if the command is repeated.")
    ] = None,
) -> Json:
    """Give an account money."""
    key = key or _fresh_key("credits")
    return given(account_id=account_id, amount=amount, currency=currency, key=key)


@app.command()
@sends("account.debit", account_tables.show_result)
def debit(
    account_id: AccountId,
    amount: Annotated[str, typer.Option(help="A decimal, such as 25.00.")],
    currency: Currency,
    reason: Annotated[str, typer.Option(help="The reason, in one line; kept in the ledger.")],
    author: Annotated[str, typer.Option(help="Who is responsible; kept in the ledger.")],
    key: Annotated[str | None, typer.Option(help="Debit only once, even if the command is repeated.")] = None,
) -> Json:
    """Take money back from an account, such as a mistyped credit; never what its sessions have cost."""
    key = key or _fresh_key("debits")
    return given(
        account_id=account_id, amount=amount, currency=currency, reason=reason, author=author, key=key
    )


@app.command()
@sends("account.budget", account_tables.show_budgets)
def budget(
    account_id: AccountId,
    period: Annotated[BudgetPeriod, typer.Option(help="Calendar days or months in UTC.")],
    amount: Annotated[str, typer.Option(help='A decimal, such as 250.00; "none" removes the budget.')],
    currency: Annotated[
        str | None, typer.Option(help="The account's currency, such as USD: beside an amount.")
    ] = None,
    max_burn_per_hour: Annotated[
        str | None, typer.Option(help="Admit no session beyond this cost per hour, of all that start or run.")
    ] = None,
    hard_stop: Annotated[
        bool, typer.Option("--hard-stop", help="Also stop running sessions once it is used up.")
    ] = False,
) -> Json:
    """Put what an account may spend in each day or month: new sessions are refused once it is used up."""
    if amount == "none" and currency is None:
        with reading() as tx:
            currency = found_account(tx, account_id).currency
    return given(
        account_id=account_id,
        period=period.value,
        amount=None if amount == "none" else amount,
        currency=currency,
        max_burn_per_hour=max_burn_per_hour,
        hard_stop=hard_stop or None,
    )


@app.command()
def budgets(account_id: AccountId, as_json: AsJson = False) -> None:
    """Show the budgets of an account, and what is used of them."""
    from orchestrator.flows.reports.budgets import read_budgets

    with reading() as tx:
        view = read_budgets(tx, found_account(tx, account_id), tx.now())
    return print_json(view) if as_json else account_tables.show_budgets(view)


def _fresh_key(what: str) -> str:
    key = str(uuid.uuid4())
    say(f"key {key}: repeat the command with --key {key}, and it {what} once")
    return key


@app.command()
def ledger(
    account_id: AccountId,
    limit: Limit = 100,
    everything: All = False,
    since: Since = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**63 - 1, help="Older than this entry's id: the next page.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
) -> None:
    """Show every movement of an account's money with the balance after it, newest first."""
    from orchestrator.flows.reports.account_view import ledger_line

    if as_json and as_csv:
        raise Misused("--json prints JSON and nothing else, --csv CSV: give one")
    limit = NO_LIMIT if everything else limit
    with reading() as tx:
        now = tx.now()
        found_account(tx, account_id)
        found = tx.ledger.lines(account_id, limit + 1, since=instant_of(since, now), before=before)
        lines = [ledger_line(line, balance) for line, balance in found[:limit]]
    if len(found) > limit:
        say(f"there are older entries: --before {lines[-1]['id']} shows them, --limit shows more at once")
    if as_json:
        return print_json(lines)
    if as_csv:
        return account_tables.print_csv(lines)
    return show(account_tables.ledger(lines, now))


@app.command()
def forecast(account_id: AccountId, as_json: AsJson = False) -> None:
    """Show what an account burns, when its funds end, and what each session has cost and will cost."""
    from orchestrator.flows.reports import account_view

    with reading() as tx:
        now = tx.now()
        view = account_view.forecast(tx, configured(), found_account(tx, account_id), now)
    if as_json:
        return print_json(view)
    return show(*account_tables.forecast(view, now))


def _limit(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else text
