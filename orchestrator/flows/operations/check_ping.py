"""Ping once a session that already runs at a provider, and show the price."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from orchestrator.flows.engine import metering
from orchestrator.flows.engine.metering import SentPings
from orchestrator.flows.engine.services import PING_BEGINS_WITHIN
from orchestrator.flows.operations import remedies
from orchestrator.flows.operations.checks import TIMEOUT, Subject, Tried, not_tried
from orchestrator.flows.steps.targets import target_of
from orchestrator.providers.port.driver import Driver, Life, Probe, Secret, Target
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Verdict
from orchestrator.rules.values.amounts import money_text


def running(subject: Subject) -> Target | None:
    """Return one session of ours that runs there and will not be closed soon."""
    with subject.services.database.reading() as tx:
        placement = tx.pings.some_running(subject.name, tx.now())
    if placement is None:
        return None
    return target_of(
        subject.services, placement, subject.services.loop.time() + PING_BEGINS_WITHIN, to_ping=True
    )


def try_ping(subject: Subject, secret: Secret | None, served: Target | None) -> Sequence[Tried]:
    """Ping once; return the result and its price."""
    card = subject.driver.card
    if card.lifecycle.ping_can_close:
        return [not_tried("ping", "the configured ping can close a session")]
    target = served if not card.lifecycle.managed else running(subject)
    if target is None:
        why = "nothing runs there" if card.lifecycle.managed else "no model can be used"
        return [not_tried("ping", why)]
    if card.status.sleeps and subject.services.loop.run(_is_asleep(subject.driver, target, secret)):
        return [not_tried("ping", "it is asleep, and a ping would wake it and start the bill")]
    probe = subject.services.loop.run(subject.driver.probe(target))
    if probe.not_begun:
        return [not_tried("ping", "too late to begin")]
    metering.count_apart(subject.services.database, {subject.name: SentPings(probes=[probe])})
    return [_pinged(target, probe), _price(probe)]


async def _is_asleep(driver: Driver, target: Target, secret: Secret | None) -> bool:
    """Return whether the target sleeps. One that cannot be asked counts as asleep, so that it is not woken."""
    try:
        async with asyncio.timeout(TIMEOUT):
            status = await driver.status(_with_secret(target, secret))
    except (ProviderError, TimeoutError):
        return True
    return status.life in (Life.ASLEEP, Life.UNKNOWN)


def _with_secret(target: Target, secret: Secret | None) -> Target:
    """Return the target with the credential, to ask the platform. The endpoint is asked with its own secret."""
    return replace(target, secret=secret)


def _pinged(target: Target, probe: Probe) -> Tried:
    result = ": ".join(part for part in (probe.verdict.value, probe.detail) if part)
    return Tried(
        what=f"ping {target.model}",
        works=probe.verdict is Verdict.ALIVE,
        said=f"{result}, {probe.latency_ms} ms",
        remedy=remedies.after_ping(probe.verdict),
    )


def _price(probe: Probe) -> Tried:
    parts = [f"{money_text(Decimal(probe.cost_usd))} USD"] if probe.cost_usd else []
    parts += [numbered(probe.tokens, "token")] if probe.tokens else []
    if not parts:
        return Tried(what="price of the ping", works=None, said="the platform does not report it")
    return Tried(what="price of the ping", works=True, said=", ".join(parts))
