"""Ping due sessions, hundreds at once, and settle the answers in bulk as `rules/sessions/decide.py` decides."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from orchestrator.flows.engine import failures
from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.loop import CHUNK
from orchestrator.flows.engine.metering import SentPings
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed, ProviderStep
from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping import failed_pings
from orchestrator.flows.steps.ping.send_pings import (
    Pinged,
    claim_pings,
    give_keys_back,
    not_begun,
    send,
)
from orchestrator.flows.steps.ping.settle_one import remember_variant, settle_one
from orchestrator.flows.upstream import alarms, brake, local_faults
from orchestrator.observability import metrics
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.sessions.decide import after_plain_ping
from orchestrator.rules.sessions.pings import is_plain, may_hang
from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.alarms import HealthyPing
from orchestrator.rules.upstream.brake import Sign
from orchestrator.rules.values import Session, Verdict
from orchestrator.store.queries.pings import GoodPing
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)


class PingStep(ProviderStep[Session, Pinged]):
    """Ping a session. `send_pings` claims and asks, and this module settles."""

    step = Step.PING
    chunk = CHUNK
    paced = True

    def claim(self, services: Services, provider: str, free: int) -> Sequence[Claimed[Session]]:
        """Lease due pings at one provider."""
        return claim_pings(services, provider, free)

    async def ask(self, services: Services, driver: Driver, claimed: Claimed[Session]) -> Pinged:
        """Send one ping."""
        return await send(services, driver, claimed)

    def settle(self, services: Services, answers: Sequence[Answer[Session, Pinged]]) -> int:
        """Save the results of pings."""
        settle_pings(services, [pinged for pinged in map(_result, answers) if pinged is not None])
        return len(answers)

    def may_be_dropped(self, driver: Driver) -> bool:
        """Return whether it may be cancelled: a ping that is a lifecycle call may close a session, and is finished
        before its key is used again."""
        return not driver.card.lifecycle.ping_can_close

    def hold(self, services: Services, claimed: Claimed[Session]) -> None:
        """Count a ping that may hang."""
        services.suspects.hold(claimed.placement.provider, may_hang(claimed.context))

    def note_over(self, services: Services, claimed: Claimed[Session]) -> None:
        """Count it no more."""
        services.suspects.release(claimed.placement.provider, may_hang(claimed.context))


PING = PingStep()


def ping_due(services: Services) -> Tally:
    """Ping every due session that this process has a free slot for."""
    return run_once(services, PING)


def _result(answer: Answer[Session, Pinged]) -> Pinged | None:
    """Return the result of a ping; None after an error that no driver should raise: the ping is sent again when its
    lease ends."""
    if isinstance(answer.said, NotSent):
        return not_begun(answer.claimed, str(answer.said))
    if isinstance(answer.said, Pinged):
        return answer.said
    log.error("a ping of session %s has no result: %s", answer.claimed.context.id, answer.said)
    return None


def settle_pings(services: Services, chunk: Sequence[Pinged]) -> None:
    """Settle good pings that change nothing in bulk. Decide every other one on its own, under its locks."""
    begun = [pinged for pinged in chunk if not pinged.probe.not_begun]
    _give_back(services, [pinged for pinged in chunk if pinged.probe.not_begun])
    written: set[str] = set()
    given_back: set[str] = set()

    def settle_good(tx: Transaction) -> datetime:
        now = tx.now()
        give_keys_back(services, tx, chunk)
        good = (_good(services, pinged, now) for pinged in begun)
        written.clear()
        written.update(tx.pings.settle_good([ping for ping in good if ping is not None]))
        _end_alarms(services, tx, begun, now)
        given_back.clear()
        given_back.update(failed_pings.note_and_judge(services, tx, begun, now))
        return now

    now = services.database.transact(settle_good)
    _end_cooldowns(services, [pinged for pinged in begun if pinged.session.id not in given_back])
    _measure(begun)
    rest = [one for one in begun if one.session.id not in written | given_back]
    if rest:
        _settle_rest(services, rest, now)
    _meter(services, begun, now)


def _settle_rest(services: Services, chunk: Sequence[Pinged], now: datetime) -> None:
    """Settle the pings that were not good. Once all are settled, check the brakes of their providers."""
    failing = _settle_failing(services, chunk)
    said = [(key, Sign.ILL) for key in failing.values()]
    for pinged in chunk:
        sign = _settle_apart(services, pinged) if pinged.session.id not in failing else None
        if sign is not None:
            said.append(((pinged.placement.provider, pinged.placement.credential), sign))
    if not said:
        return
    try:
        brake.note_pings(services, said, now)
    except Exception as error:  # noqa: BLE001  (it is logged; the next ping of any of them looks again)
        failures.log_failure(log, error, "checking the brakes failed")


def _settle_failing(services: Services, chunk: Sequence[Pinged]) -> Mapping[str, ProviderKey]:
    """Settle failed pings in bulk; return the key of each session that was settled. If that fails, return nothing:
    the caller settles each ping on its own."""
    try:
        return failed_pings.settle(services, chunk)
    except Exception as error:  # noqa: BLE001  (each logs its own failure)
        log.warning("failed pings are settled one by one: %s", type(error).__name__)
        return {}


def _end_cooldowns(services: Services, begun: Sequence[Pinged]) -> None:
    """End this process's cooldowns of providers that it has pinged: its own calls work."""
    for provider in {pinged.placement.provider for pinged in begun if not pinged.ping.asleep}:
        services.cooldowns.end(Step.PING, provider)


def _give_back(services: Services, late: Sequence[Pinged]) -> None:
    """Give back pings that were never sent: they are due again at once. Save the ping variant that they found. If
    this machine was at fault, begin a cooldown here, so that other workers ping first."""
    if not late:
        return

    def give_back(tx: Transaction) -> None:
        now = tx.now()
        for token in sorted({pinged.token for pinged in late}):
            tx.pings.release([one.session.id for one in late if one.token == token], token, now)
        for pinged in late:
            remember_variant(tx, pinged)
        _note_own_faults(services, tx, late)

    services.database.transact(give_back)
    local_faults.count([one.probe.failed_here for one in late if one.probe.failed_here is not None])
    if any(one.probe.failed_here is None for one in late):
        services.wake(frozenset({Step.PING}))


def _good(services: Services, pinged: Pinged, now: datetime) -> GoodPing | None:
    """Return the bulk settlement of this ping; None if more than the time of the last ping changes."""
    session, ping = pinged.session, pinged.ping
    if not is_plain(ping, pinged.placement):
        return None
    policy = services.policy(session.provider)
    following = after_plain_ping(session, ping, policy, now, services.jitter())
    if following is None:
        return None
    return GoodPing(
        session_id=session.id,
        token=pinged.token,
        revision=session.revision,
        at=now,
        latency_ms=ping.latency_ms,
        ping_at=following.ping_at,
        due=following.due,
    )


def _settle_apart(services: Services, pinged: Pinged) -> Sign | None:
    """Settle one ping on its own. A failure is logged, and the ping is retried when its lease expires; the others are
    settled anyway."""
    try:
        return settle_one(services, pinged)
    except AccountBusy:
        _ping_again_soon(services, pinged)
        return None
    except Exception as error:  # noqa: BLE001  (it is logged)
        failures.log_failure(log, error, f"cannot settle a ping of session {pinged.session.id}")
        return None


def _ping_again_soon(services: Services, pinged: Pinged) -> None:
    """Release the ping, to be sent again soon: its account is locked, and this thread does not wait."""

    def release(tx: Transaction) -> None:
        again_at = tx.now() + timedelta(
            seconds=services.policy(pinged.session.provider).ping_timeout_seconds / 10
        )
        tx.pings.release([pinged.session.id], pinged.token, again_at)

    services.database.transact(release)


def _note_own_faults(services: Services, tx: Transaction, late: Sequence[Pinged]) -> None:
    """Alarm each kind of failure of this machine, and begin a cooldown of its provider."""
    failed = {(one.placement.provider, one.probe.failed_here): one for one in late}
    for (provider, fault), one in failed.items():
        if fault is not None:
            services.cooldowns.begin(Step.PING, provider, tx.now())
            local_faults.alarm(services, tx, provider, fault, one.probe.detail)


def _end_alarms(services: Services, tx: Transaction, begun: Sequence[Pinged], now: datetime) -> None:
    """End the alarms that good pings contradict."""
    alarms.end_with(tx, _well(services, begun), now)


def _well(services: Services, begun: Sequence[Pinged]) -> Iterator[HealthyPing]:
    """Return the good pings in the form that alarms need."""
    for one in begun:
        if one.probe.verdict is Verdict.ALIVE and not one.ping.asleep:
            interval = timedelta(seconds=services.policy(one.placement.provider).ping_interval_seconds)
            yield HealthyPing(
                provider=one.placement.provider,
                credential=one.placement.credential,
                model_id=one.session.model_id,
                interval=interval,
            )


def _measure(begun: Sequence[Pinged]) -> None:
    """Count the pings in the metrics."""
    for pinged in begun:
        provider, probe = pinged.placement.provider, pinged.probe
        metrics.PINGS.labels(provider, probe.verdict.value).inc()
        metrics.PING_SECONDS.labels(provider).observe(probe.latency_ms / 1000)


def _meter(services: Services, begun: Sequence[Pinged], now: datetime) -> None:
    """Count the pings at each provider, later and in a transaction of its own, so that no session waits for a meter."""
    awake_at: dict[str, list[Pinged]] = {}
    for pinged in begun:
        if not pinged.ping.asleep:
            awake_at.setdefault(pinged.placement.provider, []).append(pinged)
    sent_at = {
        provider: SentPings(probes=[one.probe for one in there], began=[*_starts(there, now)])
        for provider, there in awake_at.items()
    }
    services.waiting_counts.add(sent_at)


def _starts(pings: Sequence[Pinged], now: datetime) -> Iterator[timedelta]:
    """Yield how long each session took to start that runs for the first time since one of these pings."""
    for session in (one.session for one in pings if one.probe.verdict is Verdict.ALIVE):
        if session.state is State.STARTING and not session.ever_ran:
            yield now - (session.starting_at or session.created_at)
