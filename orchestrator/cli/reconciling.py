"""`reconcile`: compare the providers' lists with what we know, now."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import leftover_tables
from orchestrator.cli.failures import REFUSED, Complaint
from orchestrator.cli.options import AsJson
from orchestrator.cli.output import coloured, print_json, progress, show, table
from orchestrator.cli.providers import services_here
from orchestrator.cli.usage import Misused
from orchestrator.rules.events import rfc3339

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.flows.reconcile.reports import ReconcileReport

_COLOURS = {"adopt": "yellow", "close": "red", "end": "red", "wait": "dim", "report": "red"}


def reconcile(
    provider: Annotated[str | None, typer.Option(help="Only this one; by default all that can list.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say what would be done.")
    ] = False,
    max_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Touch up to this share of a provider's sessions.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Touch any share, after you have looked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what lives at providers with what we know: adopt, close or end. Exit code 1 where anything
    differs, or there was no list."""
    from orchestrator.flows.reconcile.reconcile_due import reconcile as compare
    from orchestrator.flows.reconcile.reports import ReconcileOptions
    from orchestrator.flows.reports import leftovers

    if force and max_share is not None:
        raise Misused("--force allows any share, --max-share bounds it: give one")
    options = ReconcileOptions(dry_run=dry_run, max_share=1.0 if force else max_share)
    with services_here() as services:
        if provider is not None and provider not in services.drivers:
            known = ", ".join(sorted(services.drivers)) or "none is configured"
            raise Complaint(f"provider {provider} is unknown; known: {known}")
        with progress("asking for lists …"):
            reports = compare(services, options, provider)
        with services.database.reading() as tx:
            possible = leftovers.possible(tx, tx.now(), provider)
        drivers = {name: one.driver for name, one in services.config.providers.items()}
    if as_json:
        print_json({"lists": [_as_json(one) for one in reports], "possible_orphans": possible})
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


def _as_json(report: "ReconcileReport") -> dict[str, Any]:
    return {
        "provider": report.provider,
        "credential": report.credential,
        "listed": report.listed,
        "problem": report.problem,
        "refused": report.refused,
        "findings": [
            {
                "kind": one.finding.kind.value,
                "done": one.done,
                "handle": one.finding.handle,
                "session_id": one.finding.session_id,
                "placement_id": one.finding.placement_id,
                "why": one.finding.why,
                "since": rfc3339(one.finding.since),
            }
            for one in report.outcomes
        ],
    }


def _tables(reports: Sequence["ReconcileReport"], possible: list[dict[str, Any]]) -> list["RenderableType"]:
    said = [(one.provider, one.credential or "", one.listed, _said(one)) for one in reports]
    parts = [table(("provider", "credential", "listed", ""), said)] if said else []
    found = [
        (
            one.finding.handle,
            report.provider,
            coloured(one.finding.kind.value, _COLOURS[one.finding.kind.value]),
            "done" if one.done else "",
            one.finding.session_id or "",
            rfc3339(one.finding.since),
            one.finding.why,
        )
        for report in reports
        for one in report.outcomes
    ]
    if found:
        columns = ("handle", "provider", "what", "", "session", "seen since", "why")
        parts.append(table(columns, found, title="differences"))
    return parts + (leftover_tables.possible(possible) if possible else [])


def _said(report: "ReconcileReport") -> "RenderableType | str":
    if report.problem is not None:
        return coloured(report.problem, "red")
    if report.refused is not None:
        return coloured(f"nothing touched: {report.refused}", "red")
    return "as we know it" if not report.is_wrong else "differs"
