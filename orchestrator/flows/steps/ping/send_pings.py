"""Send claimed pings, and ask for the platform's own status where it may change the result."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services
from orchestrator.flows.steps.ping.claim_pings import ClaimedPing
from orchestrator.flows.steps.targets import target_of
from orchestrator.providers.port.driver import Driver, Life, Probe, Status, Target
from orchestrator.rules.sessions.pings import Ping, may_be_the_last
from orchestrator.rules.states import State
from orchestrator.rules.values import Placement, Session, Verdict
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Statuses that mean that the session has ended.
_ENDED = frozenset({Life.STOPPED, Life.GONE, Life.FAILED})
#: Statuses of a live session, which contradict a ping's GONE.
_LIVES = frozenset({Life.STARTING, Life.RUNNING, Life.ASLEEP, Life.DEGRADED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinged:
    """A claimed session and the result of its ping."""

    claimed: ClaimedPing
    probe: Probe
    ended: str | None = None
    """What the platform's own status said, where it said that it has ended."""
    expired: bool = False
    """It said so too, and that it was by its own schedule."""
    lives: str | None = None
    """What it said, where it said that it lives."""
    canary_answers: bool | None = None
    """What the operator's canary said after a ping that failed; None: it was not asked."""
    asleep: bool = False
    """Scaled to zero: it was not pinged, so as not to wake it."""

    @property
    def session(self) -> Session:
        """The session, as it was claimed."""
        return self.claimed.context

    @property
    def placement(self) -> Placement:
        """The placement, as it was when its session was claimed."""
        return self.claimed.placement

    @property
    def token(self) -> str:
        """The token of the session's lease."""
        return self.claimed.token


def give_keys_back(services: Services, tx: Transaction, pinged: Sequence[Pinged]) -> None:
    """Release the leases that native pings hold on their keys."""
    for one in pinged:
        card = services.card(one.placement.provider)
        if card is not None and card.lifecycle.ping_can_close:
            rest = services.policy(one.placement.provider).credential_rest_seconds
            tx.credentials.release(
                one.placement.provider, one.placement.credential, one.token, tx.now(), rest
            )


def not_begun(claimed: ClaimedPing, why: str) -> Pinged:
    """Return the result of a ping that was not sent."""
    probe = Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail=why, not_begun=True)
    return Pinged(claimed=claimed, probe=probe)


async def send(services: Services, driver: Driver, claimed: ClaimedPing) -> Pinged:
    """Send one ping. Ask for the platform's own status if that may end the session or make the ping unnecessary."""
    session, placement, begin_by = claimed.context, claimed.placement, claimed.begin_by
    asked = target_of(services, placement, begin_by, to_ping=False, now=claimed.at)
    if (
        driver.card.status.sleeps and session.state is State.RUNNING
    ):  # the ping of a starting session wakes it
        life = (await driver.status(asked)).life
        if life is Life.ASLEEP or (life is Life.UNKNOWN and placement.asleep_since is not None):
            spared = Probe(verdict=Verdict.ALIVE, latency_ms=0, detail="asleep")
            return Pinged(claimed=claimed, probe=spared, asleep=True)
        begin_by = await _still_to_begin(services, claimed)
    target = target_of(services, placement, begin_by, to_ping=True, now=claimed.at)
    probe = await _probed(driver, target)
    status = await _reported_status(services, driver, claimed, asked, probe)
    life, said = status.life, status.detail or status.life.value
    canary_answers = await _canary(services, session, probe)
    return Pinged(
        claimed=claimed,
        probe=probe,
        ended=said if life in _ENDED else None,
        expired=status.expired,
        lives=said if life in _LIVES else None,
        canary_answers=canary_answers,
    )


async def _canary(services: Services, session: Session, probe: Probe) -> bool | None:
    """Ask the canary if a running session's ping failed."""
    failed = session.state is State.RUNNING and probe.verdict is Verdict.TRANSIENT and not probe.not_begun
    return await services.canary.answers() if failed and services.canary is not None else None


async def _still_to_begin(services: Services, claimed: ClaimedPing) -> float:
    """Renew the claim if a slow status has used up the time in which the ping may begin, unless a stop came.

    A close waits for the renewed claim as it does for the first, so no ping begins after a close."""
    if services.loop.time() <= claimed.begin_by:
        return claimed.begin_by
    renewed = services.loop.time() + PING_BEGINS_WITHIN

    def renew(tx: Transaction) -> bool:
        return tx.pings.renew(claimed.context.id, claimed.token, tx.now())

    held = await services.loop.beside(services.database.transact, renew)
    return renewed if held else claimed.begin_by


async def _probed(driver: Driver, target: Target) -> Probe:
    """Return the driver's probe. A driver should never raise; where it does, the ping has failed."""
    try:
        return await driver.probe(target)
    except Exception as error:  # one answer must not lose the results of all others
        log.exception("the probe at %s failed", driver.name)
        detail = f"the answer cannot be understood: {type(error).__name__}"
        return Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail=detail)


async def _reported_status(
    services: Services, driver: Driver, claimed: ClaimedPing, asked: Target, probe: Probe
) -> Status:
    """Return the platform's own status, if it has one and the ping may be the last."""
    if not driver.card.status.can_ask or probe.not_begun or not _may_end(services, claimed, probe):
        return Status(life=Life.UNKNOWN)
    return await driver.status(asked)


def _may_end(services: Services, claimed: ClaimedPing, probe: Probe) -> bool:
    """Return whether the ping may end the session. Judge that at the latest time at which the ping can be settled."""
    session = claimed.context
    policy = services.policy(session.provider)
    settled_by = claimed.at + timedelta(seconds=policy.ping_timeout_seconds)
    return may_be_the_last(session, as_ping(probe), policy, settled_by)


def as_ping(probe: Probe, lives: str | None = None) -> Ping:
    """Return the ping as the rules see it."""
    waits = probe.retry_after_seconds
    return Ping(probe.verdict, probe.latency_ms, probe.detail, waits, lives, probe.silence, probe.expired)
