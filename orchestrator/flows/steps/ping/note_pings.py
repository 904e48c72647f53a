"""Note what pings show beyond their own session: about keys, accounts and configurations, and their cost."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from orchestrator.flows.engine.metering import SentPings
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.steps.ping.send_pings import Pinged
from orchestrator.flows.upstream import alarms, credentials, local_faults
from orchestrator.observability import metrics
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.sessions.decide import clamped_retry_after
from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.alarms import HealthyPing, alarm, kind_of
from orchestrator.rules.values import Session, Verdict
from orchestrator.store.transaction import Transaction


def note_answer(work: AccountWork, session: Session, pinged: Pinged) -> None:
    """Note what the answer shows about the key, the account or the configuration, beyond this session."""
    placement, probe = pinged.placement, pinged.probe
    policy = work.policy(session)
    if probe.verdict is Verdict.CREDENTIALS and placement.secret_ref == placement.credential:
        credentials.pause_refused(
            work.tx, placement, probe.detail, policy, work.now, since=session.unusable_since
        )
    elif probe.key_refused is not None:
        credentials.pause_refused(work.tx, placement, probe.key_refused, policy, work.now)
    if probe.foreign_handle is not None and session.gone_since is None:  # once, not at each ping
        work.tx.outbox.add([ownership_lost(placement, probe.foreign_handle)])
    kind = kind_of(probe.verdict)
    if kind is not None:
        where = placement.provider, placement.credential, session.model_id
        alarms.raise_alarm(work.tx, alarm(kind, *where, probe.detail, work.now))
    if probe.verdict is Verdict.THROTTLED:
        wait = clamped_retry_after(probe.retry_after_seconds, policy)
        credentials.note_rate_limit(work.tx, placement, wait, work.now, whole_key=probe.whole_key)


def end_alarms(services: Services, tx: Transaction, begun: Sequence[Pinged], now: datetime) -> None:
    """End the alarms that good pings contradict."""
    alarms.end_with(tx, _well(services, begun), now)


def note_own_faults(services: Services, tx: Transaction, late: Sequence[Pinged]) -> None:
    """Alarm each kind of failure of this machine, and begin a cooldown of its provider."""
    failed = {(one.placement.provider, one.probe.failed_here): one for one in late}
    for (provider, fault), one in failed.items():
        if fault is not None:
            services.cooldowns.begin(Step.PING, provider, tx.now())
            local_faults.alarm(services, tx, provider, fault, one.probe.detail)


def meter(services: Services, begun: Sequence[Pinged], now: datetime) -> None:
    """Count the pings at each provider, later and in a transaction of its own, so that no session waits for a meter."""
    awake_at: dict[str, list[Pinged]] = {}
    for pinged in begun:
        if not pinged.asleep:
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


def measure(begun: Sequence[Pinged]) -> None:
    """Count the pings in the metrics."""
    for pinged in begun:
        provider, probe = pinged.placement.provider, pinged.probe
        metrics.PINGS.labels(provider, probe.verdict.value).inc()
        metrics.PING_SECONDS.labels(provider).observe(probe.latency_ms / 1000)


def _well(services: Services, begun: Sequence[Pinged]) -> Iterator[HealthyPing]:
    """Return the good pings in the form that alarms need."""
    for one in begun:
        if one.probe.verdict is Verdict.ALIVE and not one.asleep:
            interval = timedelta(seconds=services.policy(one.placement.provider).ping_interval_seconds)
            yield HealthyPing(
                provider=one.placement.provider,
                credential=one.placement.credential,
                model_id=one.session.model_id,
                interval=interval,
            )
