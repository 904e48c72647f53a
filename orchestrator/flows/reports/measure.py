"""Read the store's gauges for the metrics, in one short transaction, and begin the counters."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import product

from orchestrator.client import JOBS
from orchestrator.client.options import JOBS_QUEUE
from orchestrator.flows.reports.retention_lags import lags
from orchestrator.flows.reports.views import at_risk, orphans_at_risk, orphans_of
from orchestrator.observability import metrics
from orchestrator.observability.gauges import StoreReading
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.rules.installation import liveness
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.reconcile.lists import Action
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.states import Step, StopReason
from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.values import Placement, Verdict, Worker
from orchestrator.settings import Configuration
from orchestrator.store.database import CAUSES, Database, StoreError
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: The alarm about a whole key, beside those of `AlarmKind`; named like its event.
CREDENTIAL_PAUSED = "credential_paused"
#: The possible results of a provider's list.
_DONE = (Action.ADOPT, Action.CLOSE, Action.END)


def begin_at_zero(providers: tuple[str, ...], webhooks: Iterable[str] = ()) -> None:
    """Create every counter's known samples before anything is counted: rates, and alerts on absence, need a zero before
    the first count. `providers`, `webhooks`: those that are configured."""
    for provider in providers:
        _begin_provider(provider)
    for webhook, outcome in product(webhooks, metrics.WEBHOOK_OUTCOMES):
        metrics.WEBHOOKS.labels(webhook, outcome)
    for reason in StopReason:
        metrics.STOPS.labels(reason.value)
    for job in JOBS:
        for outcome in ("ok", *ErrorCode):
            metrics.JOBS.labels(job, outcome)
    for cause in CAUSES:
        metrics.STORE_RETRIES.labels(cause)
        metrics.STORE_GIVEN_UP.labels(cause)
    for fault in LocalFault:
        metrics.LOCAL_FAULTS.labels(fault.value)
    metrics.MESSAGES_REFUSED.labels(JOBS_QUEUE)


def _begin_provider(provider: str) -> None:
    metrics.PING_SECONDS.labels(provider)
    for verdict in Verdict:
        metrics.PINGS.labels(provider, verdict.value)
    for kind in _DONE:
        metrics.RECONCILED.labels(provider, kind.value)


def measure_if_possible(
    database: Database, providers: tuple[str, ...], configuration: Configuration
) -> StoreReading | None:
    """Return the same as `measure`; None while the database cannot be read."""
    try:
        return measure(database, providers, configuration)
    except StoreError as error:
        log.warning("the metrics from the database are missing: %s", error)
        return None


def measure(
    database: Database, providers: tuple[str, ...], configuration: Configuration | None = None
) -> StoreReading:
    """Return the gauges' values now. `providers`: those that are configured, braked or not."""
    with database.reading() as tx:
        return _reading(tx, providers, configuration or Configuration())


def _reading(tx: Transaction, providers: tuple[str, ...], configuration: Configuration) -> StoreReading:
    now = tx.now()
    workers = tx.workers.listed(since=now - liveness.DEATHS_WITHIN)
    unproven = tx.placements.unproven()
    doubtful = tx.leftovers.possible_orphans(now)
    held = {brake.provider for brake in tx.brakes.holding(now)}
    counted = tx.sessions.count_by_state()
    webhooks = tx.webhooks.listed()
    return StoreReading(
        now=now,
        sessions={(state.value, provider or ""): count for state, provider, count in counted},
        oldest_due={step.value: at for step, at in oldest_due(tx, now).items()},
        unproven=len(unproven),
        at_risk=_money_at_risk(tx.models.currencies(), unproven, doubtful, now),
        forced=tx.leftovers.count_forced(),
        possible_orphans=_possible_orphans(doubtful, providers),
        braked={provider: provider in held for provider in providers},
        provider_alarms=_provider_alarms(tx, providers),
        installation_alarms=_installation_alarms(tx),
        parked={JOBS_QUEUE: 0} | dict(tx.parked.counts()),
        clock_ahead=_clock_ahead(tx),
        processes=_count(liveness.alive(workers, now)),
        deaths=_count(liveness.dead(workers, now)),
        last_tick=liveness.last_sent(workers),
        clock_offsets={
            (one.kind, one.host, str(one.pid)): one.clock_offset_seconds
            for one in liveness.alive(workers, now)
        },
        webhook_oldest={
            one.name: (tx.webhooks.oldest_undelivered(one) if one.active else None) or now for one in webhooks
        },
        dead_letters={one.name: tx.webhooks.backlog(one.name).dead for one in webhooks},
        oldest_job=tx.inbox.oldest(),
        retention_lags={one.of: one.behind.total_seconds() for one in lags(tx, configuration, now)},
        audit={check.value: 0 for check in Invariant} | tx.findings.counts(),
        last_audit=tx.findings.last_run(),
    )


def _money_at_risk(
    currencies: Iterable[str], unproven: Iterable[Placement], doubtful: Iterable[Placement], now: datetime
) -> dict[str, Decimal]:
    """Return what closes without proof, and opens with an unknown outcome, may have cost by now, by currency."""
    money = dict.fromkeys(currencies, Decimal(0))
    risks = [(one, at_risk(one, now)) for one in unproven]
    risks += [(one, orphans_at_risk(one, now)) for one in doubtful]
    for placement, risk in risks:
        money[placement.currency] = money.get(placement.currency, Decimal(0)) + risk
    return money


def _possible_orphans(doubtful: Iterable[Placement], providers: Iterable[str]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for placement in doubtful:
        found[placement.provider] += orphans_of(placement)
    return {provider: found[provider] for provider in providers}


def _count(workers: Sequence[Worker]) -> dict[str, int]:
    found = Counter(one.kind for one in workers)
    return {kind: found[kind] for kind in (*liveness.KINDS, liveness.SCHEDULER)}


def _provider_alarms(tx: Transaction, providers: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Return the open alarms by provider and kind; 0 for each kind of a configured provider."""
    kinds = (*(kind.value for kind in AlarmKind), CREDENTIAL_PAUSED)
    found = Counter((alarm.provider, alarm.kind.value) for alarm in tx.alarms.listed())
    found.update(
        {(provider, CREDENTIAL_PAUSED): count for provider, count in tx.credentials.paused().items()}
    )
    return dict.fromkeys(product(providers, kinds), 0) | found


def _installation_alarms(tx: Transaction) -> dict[str, int]:
    none = {kind.value: 0 for kind in InstallationAlarmKind}
    return none | Counter(alarm.kind for alarm in tx.installation_alarms.listed())


def _clock_ahead(tx: Transaction) -> float:
    known = tx.clock.known()
    return 0.0 if known is None else (-known.correction).total_seconds()


def oldest_due(tx: Transaction, now: datetime) -> dict[Step, datetime]:
    """Return when the row was due that waits longest for each step; now where none waits."""
    families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    oldest: dict[Step, datetime] = dict.fromkeys(Step, now)  # a step with no due row is not overdue
    for family in families:
        oldest |= family
    return oldest
