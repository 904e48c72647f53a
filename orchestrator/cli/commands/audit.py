"""`audit`: does everything hold that must? One line for each check, and every violation."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.failures import REFUSED
from orchestrator.cli.shared.fitting import ALL_LINES, Column
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, progress, show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import coloured, table
from orchestrator.rules.audit.invariants import MEANING, Invariant, Violation
from orchestrator.rules.text import numbered

if TYPE_CHECKING:
    from orchestrator.flows.audit.audit_store import AuditReport

#: Violations in the table; `--json` has all.
_SHOWN = 50
_CHECKS = (Column("check", whole=True), Column("violations"), Column("", prose=ALL_LINES))
_FOUND = (Column("check", whole=True), Column("of"), Column("", prose=ALL_LINES))


def audit(
    full: Annotated[bool, typer.Option("--full", help="Check every row, even if that takes long.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the invariants of the store: what has changed, what is late, the next rows in turn. Changes nothing."""
    report = _run(full=full)
    found = Counter(finding.check for finding in report.found)
    if as_json:
        print_json(_as_json(report, found, full=full))
    else:
        show(*_tables(report, found))
    if report.found:
        raise typer.Exit(REFUSED)


def _run(*, full: bool) -> "AuditReport":
    from orchestrator import wiring
    from orchestrator.flows.audit.audit_store import audit_everything, audit_now
    from orchestrator.settings import load_settings

    settings = load_settings()
    built = wiring.build(settings, wiring.read_configuration(settings), pool_size=1)
    try:
        built.services.database.check()
        with progress("checking"):
            return audit_everything(built.services) if full else audit_now(built.services)
    finally:
        built.close()


def _as_json(report: "AuditReport", found: Counter[Invariant], *, full: bool) -> dict[str, Any]:
    return {
        "ok": not report.found,
        "full": full,
        "behind": report.behind,
        "sessions": report.sessions,
        "accounts": report.accounts,
        "checks": [
            {"check": check.value, "meaning": MEANING[check], "violations": found[check]}
            for check in Invariant
        ],
        "violations": [
            {"check": f.check.value, "subject": f.subject, "detail": f.detail} for f in report.found
        ],
    }


def _tables(report: "AuditReport", found: Counter[Invariant]) -> Sequence[Any]:
    rows = [(check.value, _count(found[check]), MEANING[check]) for check in Invariant]
    looked = f"checked {numbered(report.sessions, 'session')} and {numbered(report.accounts, 'account')}"
    left = (
        "; more rows have changed than one run reads: run it again, or with --full" if report.behind else ""
    )
    parts: list[Any] = [table(_CHECKS, rows), looked + left]
    if report.found:
        parts.append(table(_FOUND, _rows(report.found[:_SHOWN])))
    return parts


def _rows(found: Sequence[Violation]) -> list[tuple[Any, ...]]:
    subjects = id_cells(one.subject for one in found)
    return [(one.check.value, subjects[one.subject], one.detail) for one in found]


def _count(violations: int) -> object:
    return coloured(str(violations), "red" if violations else "green")
