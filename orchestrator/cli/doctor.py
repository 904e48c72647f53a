"""`doctor`: is everything there that a process needs? One line for each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.failures import REFUSED, WRONG, Complaint, explained
from orchestrator.cli.options import AsJson
from orchestrator.cli.output import coloured, print_json, show, table
from orchestrator.cli.reading import reading
from orchestrator.cli.times import span

if TYPE_CHECKING:
    from orchestrator.settings import Settings

#: A scheduler says every second that it ticks.
_SILENT_AFTER = timedelta(seconds=10)
#: What is due is done within seconds.
_UNDONE_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str
    warning: bool = False
    """It works, and somebody should look at it all the same."""

    def as_json(self) -> dict[str, Any]:
        """`warning` is there only where there is one."""
        told = {"check": self.check, "ok": self.ok, "detail": self.detail}
        return told | ({"warning": True} if self.warning else {})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at, and what it rests on: where that is broken, it has nothing of its own to say."""

    name: str
    look: Callable[["Settings"], str]
    rests_on: Sequence[str] = ()


class Doubt(Exception):
    """Nothing is broken; the message says what to look at."""


def doctor(as_json: AsJson = False) -> None:
    """Check settings, configuration, secrets, database, broker, scheduler, work and providers. Exit code 2 where
    settings or configuration are wrong, 1 where anything else is."""
    findings = list(_findings())
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        show(table(("", "check", ""), [(_mark(f), f.check, f.detail) for f in findings]))
    broken = {finding.check for finding in findings if not finding.ok}
    if broken:
        raise typer.Exit(WRONG if broken & {"settings", "configuration"} else REFUSED)


def _findings() -> Iterator[Finding]:
    from orchestrator.settings import ConfigurationError, load_settings

    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, "")
    broken: set[str] = set()
    for check in _checks():
        first = next((name for name in check.rests_on if name in broken), None)
        finding = _tried(check, settings) if first is None else _not_looked_at(check, first)
        if not finding.ok:
            broken.add(check.name)
        yield finding


def _checks() -> Sequence[Check]:
    return (
        Check("configuration", _configuration),
        Check("environment", _environment, ["configuration"]),
        Check("secrets", _secrets, ["configuration"]),
        Check("database", _database),
        Check("revision", _revision, ["database"]),
        Check("broker", _broker),
        Check("scheduler", _scheduler, ["database"]),
        Check("work", _work, ["database"]),
        Check("providers", _providers, ["configuration", "database"]),
    )


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


def _not_looked_at(check: Check, first: str) -> Finding:
    return Finding(check.name, False, f"not looked at: mend the {first} first")


def _configuration(settings: "Settings") -> str:
    from orchestrator import wiring

    configuration = wiring.read_configuration(settings)
    return f"{settings.config}: {len(configuration.providers)} providers"


def _environment(settings: "Settings") -> str:
    """A misspelt variable goes unnoticed: what it was to set has its default."""
    from orchestrator import wiring
    from orchestrator.settings import unknown_variables

    unknown = unknown_variables(wiring.read_configuration(settings))
    if unknown:
        raise Doubt("\n".join(str(fault) for fault in unknown))
    return "every ORCHESTRATOR_ variable is known"


def _secrets(settings: "Settings") -> str:
    from orchestrator import wiring

    configuration = wiring.read_configuration(settings)
    refs = {ref for provider in configuration.providers.values() for ref in provider.secret_refs}
    missing = wiring.secret_store(settings).missing(sorted(refs))
    if missing:
        raise Complaint("\n".join(str(fault) for fault in missing))
    return f"{len(refs)} found"


def _database(settings: "Settings") -> str:
    from orchestrator.settings import redacted_url

    with reading():
        return redacted_url(settings.database_url)


def _revision(_settings: "Settings") -> str:
    from orchestrator.store import migrate

    with reading() as tx:
        missing = [index.name for index in migrate.missing_indexes(tx.connection)]
        said = migrate.fit(tx.connection)
        installation = tx.installation.known()
    if missing:
        raise Complaint(f"indexes are missing ({', '.join(map(str, missing))}): run `orchestrator migrate`")
    told = said or migrate.newest()
    return f"{told}; what this installation opens is named {installation}-…" if installation else told


def _broker(settings: "Settings") -> str:
    from orchestrator.client.sender import check_broker
    from orchestrator.settings import redacted_url

    check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    return redacted_url(settings.broker_url)


def _scheduler(_settings: "Settings") -> str:
    from orchestrator.scheduler import LEASE

    with reading() as tx:
        seen, now = tx.leases.last_seen(LEASE), tx.now()
    if seen is None:
        raise Complaint("none ever ticked: start one (`orchestrator scheduler` or `orchestrator up`)")
    ago = span((now - seen).total_seconds())
    if now - seen > _SILENT_AFTER:
        raise Complaint(f"the last tick was {ago} ago: start one (`orchestrator scheduler`)")
    return f"ticked {ago} ago"


def _work(_settings: "Settings") -> str:
    """Does anybody do what is due? A worker that is missing shows as steps that nobody takes."""
    with reading() as tx:
        now = tx.now()
        families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    overdue = {
        step: now - at for family in families for step, at in family.items() if now - at > _UNDONE_AFTER
    }
    if overdue:
        late = ", ".join(f"{step.value} {span(by.total_seconds())}" for step, by in sorted(overdue.items()))
        raise Complaint(f"steps are overdue ({late}): is a worker running (`orchestrator worker`)?")
    return "nothing is overdue"


def _providers(settings: "Settings") -> str:
    """What stands against the configured ones: brakes, paused keys, empty accounts, what cannot work as configured."""
    from orchestrator import wiring

    configured = wiring.read_configuration(settings).providers
    with reading() as tx:
        paused = [one for one in tx.credentials.listed() if one.paused_since and not one.retired]
        alarms = [one for one in tx.alarms.listed() if one.provider in configured]
        brakes = [one for one in tx.brakes.listed() if one.provider in configured]
    said = [f"{one.provider} {one.credential or ''}".strip() + f" is braked: {one.reason}" for one in brakes]
    said += [f"{one.provider} {one.ref} is paused: {one.paused_reason}" for one in paused]
    for alarm in alarms:
        where = " ".join(part for part in (alarm.provider, alarm.credential, alarm.model_id) if part)
        said.append(f"{where}: {alarm.kind.value.replace('_', ' ')}: {alarm.reason}")
    if said:
        raise Complaint("\n".join([*said, "`orchestrator provider check NAME` says what to do"]))
    return "nothing stands against any"


def _mark(finding: Finding) -> object:
    if finding.warning:
        return coloured("!", "yellow")
    return coloured("✓", "green") if finding.ok else coloured("✗", "red")
