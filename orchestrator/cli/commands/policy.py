"""`policy try`: what other rules would do to the fleet. Nothing is written."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from orchestrator.cli.shared.known import ACCOUNT, known
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, progress, show
from orchestrator.cli.shared.reading import configured, found_account, reading
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.views import trial_tables as tables
from orchestrator.rules.billing.money import parse_amount
from orchestrator.validation.assignments import AssignmentFault, assignments

if TYPE_CHECKING:
    from orchestrator.settings import Configuration

app = typer.Typer()

Account: TypeAlias = Annotated[
    str | None, typer.Option(help="Look only at this account's sessions.", **known(ACCOUNT, must=True))
]
Shown: TypeAlias = Annotated[
    int, typer.Option(min=1, max=1000, help="The most sessions to show of each kind.")
]


@app.callback()
def _policy() -> None:
    """Try other rules on the fleet."""


@app.command("try")
def try_policy(
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="KEY of the table policy, or providers.NAME.KEY. Repeat for more.",
        ),
    ] = None,
    plan: Annotated[
        list[str] | None, typer.Option(metavar="PLAN.KEY=VALUE", help="A number of a plan. Repeat for more.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=AMOUNT", help="A price of a node-hour. Repeat for more."),
    ] = None,
    account: Account = None,
    limit: Shown = 20,
    as_json: AsJson = False,
) -> None:
    """Show which sessions a changed rule, plan or price would stop, when, and how much they were used before: of those
    that live, and of those of the last 7 days. Changes nothing."""
    from orchestrator.settings.changes import differences, flat, with_changes

    values = _given("--set", changed) | {
        f"plans.{key}": value for key, value in _given("--plan", plan).items()
    }
    prices = {model: _amount(model, text) for model, text in _given("--price", price).items()}
    if not values and not prices:
        raise Misused("nothing to try: give --set, --plan or --price")
    current = configured()
    other = with_changes(current, values)
    found, report = _tried(current, other, prices, account)
    print_report(differences(flat(current), flat(other)) + found, report, limit, as_json=as_json)


def _tried(
    current: "Configuration", other: "Configuration", prices: Mapping[str, Decimal], account: str | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return how the prices differ, and what the change would do."""
    from orchestrator.flows.reports.policy_trial import facts_of, trial
    from orchestrator.flows.reports.repriced import repriced

    with progress("reading sessions and events …"):
        with reading() as tx:
            if account is not None:
                found_account(tx, account)
            of_models = repriced(tx, prices)
            facts = facts_of(tx, account)
        return of_models, trial(facts, current, other, prices)


def print_report(changes: list[dict[str, Any]], report: dict[str, Any], limit: int, *, as_json: bool) -> None:
    """Print what changes, and what that would do."""
    if as_json:
        return print_json({"changes": changes, **report})
    if not changes:
        show("nothing changes: every value is as it is now")
    else:
        show(tables.changes(changes))
    return show("", *tables.trial(report, limit))


def _given(option: str, texts: Sequence[str] | None) -> dict[str, Any]:
    try:
        return assignments(texts or ())
    except AssignmentFault as wrong:
        raise Misused(f"{option}: {wrong}") from None


def _amount(model: str, value: Any) -> Decimal:
    amount = parse_amount(str(value))
    if amount is None or amount < 0:
        raise Misused(f"--price: {model}={value} must be money with at most 6 decimal places, such as 0.50")
    return amount
