"""Checks of the providers."""

from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import reading

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def unknown(settings: "Settings") -> str:
    """Check that nothing lives at a provider that the configuration does not name: no worker would ping or close it."""
    from orchestrator import wiring

    configured = wiring.read_configuration(settings).providers
    with reading() as tx:
        lives = tx.due_work.providers_of_live_rows() - set(configured)
    if lives:
        raise Complaint(
            f"sessions or placements live at {', '.join(sorted(lives))}, which {settings.config} does not name: no"
            " worker pings or closes them. Name it again (all its keys may be `retired = true`) until they are closed"
        )
    return "every live session and placement is at a configured provider"


def alarms(settings: "Settings") -> str:
    """List what is open against the configured providers: brakes, paused keys, empty accounts, what cannot work as
    configured."""
    from orchestrator import wiring

    configured = wiring.read_configuration(settings).providers
    with reading() as tx:
        paused = [one for one in tx.credentials.listed() if one.paused_since and not one.retired]
        alarms = [one for one in tx.alarms.listed() if one.provider in configured]
        brakes = [one for one in tx.brakes.holding(tx.now()) if one.provider in configured]
    said = [f"{one.provider} {one.credential or ''}".strip() + f" is braked: {one.reason}" for one in brakes]
    said += [f"{one.provider} {one.ref} is paused: {one.paused_reason}" for one in paused]
    for alarm in alarms:
        where = " ".join(part for part in (alarm.provider, alarm.credential, alarm.model_id) if part)
        said.append(f"{where}: {alarm.kind.value.replace('_', ' ')}: {alarm.reason}")
    if said:
        raise Complaint("\n".join([*said, "`orchestrator provider check NAME` says what to do"]))
    return "no alarm is open"
