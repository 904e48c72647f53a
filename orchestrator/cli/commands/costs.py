"""`costs [export]`."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared.failures import WRONG, Complaint
from orchestrator.cli.shared.known import ACCOUNT, known
from orchestrator.cli.shared.options import AsJson, Limit
from orchestrator.cli.shared.output import print_json, progress, say, show
from orchestrator.cli.shared.reading import found_account, opened, reading
from orchestrator.cli.views import cost_tables
from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.text import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.flows.reports.focus_export import Rows

app = typer.Typer()
_DAY = ["%Y-%m-%d"]


class ExportFormat(StrEnum):
    """The formats of an export."""

    FOCUS_CSV = "focus-csv"
    FOCUS_PARQUET = "focus-parquet"


@app.callback(invoke_without_command=True)
def costs(
    ctx: typer.Context,
    by: Annotated[CostsBy, typer.Option(help="What to add up by.")] = CostsBy.ACCOUNT,
    since: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="From this day on (UTC); by default the first of this month."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Only of this account.", **known(ACCOUNT, must=True))
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, what runs now costs an hour, and what is expected once it has stopped."""
    if ctx.invoked_subcommand is not None:
        return None
    from orchestrator.flows.reports import costs as report

    with reading() as tx:
        now = tx.now()
        if since is not None and since.date() > now.date():
            raise Complaint(_in_the_future(since.date()), WRONG)
        if account is not None:
            found_account(tx, account)
        first = since.date() if since else None
        view = report.costs(tx, now, by, first, account, limit, report.MOST_RUNNING)
    if as_json:
        return print_json(view)
    if view["more"]:
        say(f"{view['more']} more are in the total: --limit shows them")
    return show(*cost_tables.costs(view))


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="FOCUS 1.2 as CSV or as Parquet.")
    ] = ExportFormat.FOCUS_CSV,
    since: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="From this day on (UTC); by default the first of last month."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=_DAY,
            help="Before this day (UTC); by default up to the first of this month, or up to now if --since is later.",
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Only of this account.", **known(ACCOUNT, must=True))
    ] = None,
) -> None:
    """Write the ledger's charges for chargeback: by default those of last month, one row for each entry."""
    from orchestrator.flows.reports import focus_export

    if format_ is ExportFormat.FOCUS_PARQUET:
        _require_parquet()
    if out.exists() and not out.is_file():
        raise Complaint(f"{out} is not a file: name a file that can be written", WRONG)
    with opened() as database:
        with database.reading() as tx:
            today = tx.now().date()
            if account is not None:
                found_account(tx, account)
        first = since.date() if since else _month_before(today.replace(day=1))
        last = until.date() if until else _end_by_default(first, today)
        if last <= first:
            raise Complaint(_no_day(first, last, is_given=until is not None), WRONG)
        pages = focus_export.focus_pages(database, first, last, account)
        with progress(f"writing {out}"):
            number = _written(out, pages, as_parquet=format_ is ExportFormat.FOCUS_PARQUET)
    say(f"{out}: {numbered(number, 'row')}, from {first} to {last - timedelta(days=1)}")


def _written(out: Path, pages: "Iterable[Rows]", *, as_parquet: bool) -> int:
    from orchestrator.flows.reports import focus_export

    try:
        return focus_export.export(out, pages, as_parquet=as_parquet)
    except OSError as error:
        raise Complaint(f"cannot write {out}: {error.strerror or error}", WRONG) from None


def _require_parquet() -> None:
    from orchestrator.flows.reports import focus_export

    try:
        focus_export.require_parquet()
    except focus_export.ParquetMissing as missing:
        raise Complaint(str(missing), WRONG) from None


def _no_day(first: date, last: date, *, is_given: bool) -> str:
    return f"--until {last} must be later than --since {first}" if is_given else _in_the_future(first)


def _end_by_default(first: date, today: date) -> date:
    """Return the first day that is left out: whole months if there is one, else today is the last."""
    this_month = today.replace(day=1)
    return this_month if first < this_month else today + timedelta(days=1)


def _in_the_future(day: date) -> str:
    return f"--since {day} lies in the future (days are in UTC)"


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
