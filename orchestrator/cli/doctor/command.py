"""The command: run every check, and show what it found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.doctor.check import Check, Doubt, Finding
from orchestrator.cli.shared.failures import REFUSED, WRONG, explained
from orchestrator.cli.shared.fitting import ALL_LINES, Column
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, show
from orchestrator.cli.shared.tables import coloured, table

if TYPE_CHECKING:
    from orchestrator.settings import Settings


_COLUMNS = (Column("", whole=True), Column("check", whole=True), Column("", prose=ALL_LINES))


def doctor(as_json: AsJson = False) -> None:
    """Check settings, configuration, secrets, database, broker, scheduler, work and providers. Exit code 2 where
    settings or configuration are wrong, 1 where anything else is."""
    findings = list(_findings())
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        show(table(_COLUMNS, [(_mark(f), f.check, f.detail) for f in findings]))
    broken = {finding.check for finding in findings if not finding.ok}
    if broken:
        raise typer.Exit(WRONG if broken & {"settings", "configuration"} else REFUSED)


def _findings() -> Iterator[Finding]:
    from orchestrator.cli.doctor.registry import CHECKS
    from orchestrator.settings import ConfigurationError, load_settings

    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, "")
    broken: set[str] = set()
    for check in CHECKS:
        first = next((name for name in check.rests_on if name in broken), None)
        finding = _tried(check, settings) if first is None else _skipped(check, first)
        if not finding.ok:
            broken.add(check.name)
        yield finding


def _tried(check: Check, settings: "Settings") -> Finding:
    try:
        return Finding(check.name, True, check.look(settings))
    except Doubt as doubt:
        return Finding(check.name, True, str(doubt), warning=True)
    except Exception as error:
        failure = explained(error)
        if failure is None:
            raise
        return Finding(check.name, False, "\n".join(failure.lines))


def _skipped(check: Check, first: str) -> Finding:
    return Finding(check.name, False, f"skipped: fix {first} first", skipped=True)


def _mark(finding: Finding) -> object:
    if finding.warning:
        return coloured("!", "yellow")
    if finding.skipped:
        return "-"
    return coloured("✓", "green") if finding.ok else coloured("✗", "red")
