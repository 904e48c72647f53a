"""`reconcile`: compare the providers' lists with what we know, now."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.commands.providers import services_here, unknown_provider
from orchestrator.cli.shared.failures import REFUSED, Complaint
from orchestrator.cli.shared.fitting import ALL_LINES, Column
from orchestrator.cli.shared.known import PROVIDER, known
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, progress, show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import coloured, table
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.views import leftover_tables
from orchestrator.rules.events import rfc3339

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.flows.reconcile.reports import ReconcileReport

_COLOURS = {"adopt": "yellow", "close": "red", "end": "red", "wait": "dim", "report": "red"}
_LISTS = (
    Column("provider", whole=True),
    Column("credential", rank=1),
    Column("listed"),
    Column("", prose=ALL_LINES),
)
_DIFFERENCES = (
    Column("handle"),
    Column("provider", rank=1),
    Column("what"),
    Column(""),
    Column("session", rank=2),
    Column("seen since", rank=3),
    Column("why", prose=2),
)


def reconcile(
    provider: Annotated[
        str | None,
        typer.Option(
            help="Only this provider; by default every one that can list its sessions.", **known(PROVIDER)
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show what would be done.")
    ] = False,
    max_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Change up to this share of a provider's sessions.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Change any share; do a --dry-run first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what lives at providers with what we know: adopt, close or end. Exit code 1 where anything
    differs, or there was no list."""
    from orchestrator.flows.reconcile.reconcile_due import reconcile as compare
    from orchestrator.flows.reconcile.reports import ReconcileOptions, as_json_of
    from orchestrator.flows.reports import leftovers

    if force and max_share is not None:
        raise Misused("--force allows any share, --max-share bounds it: give one")
    options = ReconcileOptions(dry_run=dry_run, max_share=1.0 if force else max_share)
    with services_here() as services:
        if provider is not None and provider not in services.drivers:
            raise unknown_provider(provider, services)
        with progress("asking for lists …"):
            reports = compare(services, options, provider)
        with services.database.reading() as tx:
            possible = leftovers.possible(tx, tx.now(), provider)
        drivers = {name: one.driver for name, one in services.config.providers.items()}
    if as_json:
        print_json({"lists": [as_json_of(one) for one in reports], "possible_orphans": possible})
    else:
        show(*_tables(reports, possible))
    if not reports:
        raise Complaint(_why_no_list(drivers, provider))
    if any(report.is_wrong for report in reports):
        raise typer.Exit(REFUSED)


def _why_no_list(drivers: Mapping[str, str], provider: str | None) -> str:
    """Return why nothing was compared, so that this does not look like agreement."""
    if provider is not None:
        return f"nothing was compared: provider {provider} ({drivers[provider]}) cannot list its sessions"
    if not drivers:
        return "nothing was compared: no provider is configured"
    listed = ", ".join(f"{name} ({driver})" for name, driver in sorted(drivers.items()))
    return f"nothing was compared: none of the configured providers can list its sessions: {listed}"


def _tables(reports: Sequence["ReconcileReport"], possible: list[dict[str, Any]]) -> list["RenderableType"]:
    said = [(one.provider, one.credential or "", one.listed, _said(one)) for one in reports]
    parts = [table(_LISTS, said)] if said else []
    sessions = id_cells(one.finding.session_id for report in reports for one in report.outcomes)
    found = [
        (
            one.finding.handle,
            report.provider,
            coloured(one.finding.action.value, _COLOURS[one.finding.action.value]),
            "done" if one.done else "",
            sessions[one.finding.session_id],
            rfc3339(one.finding.since),
            one.finding.why,
        )
        for report in reports
        for one in report.outcomes
    ]
    if found:
        parts.append(table(_DIFFERENCES, found, title="differences"))
    return parts + (leftover_tables.possible(possible) if possible else [])


def _said(report: "ReconcileReport") -> "RenderableType | str":
    if report.problem is not None:
        return coloured(report.problem, "red")
    if report.refused is not None:
        return coloured(f"nothing touched: {report.refused}", "red")
    return "as we know it" if not report.is_wrong else "differs"
