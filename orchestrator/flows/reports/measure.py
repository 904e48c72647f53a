"""Read the store's gauges for the metrics, in one short transaction, and begin the counters."""

from collections import Counter
from datetime import datetime
from decimal import Decimal

from orchestrator.client import JOBS
from orchestrator.client.options import JOBS_QUEUE
from orchestrator.flows.reports.retention_lags import lags
from orchestrator.flows.reports.views import at_risk, orphans_at_risk, orphans_of
from orchestrator.observability import metrics
from orchestrator.observability.metrics import StoreReading
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.rules.installation import liveness
from orchestrator.rules.reconcile.lists import Action
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.states import Step, StopReason
from orchestrator.rules.values import Verdict
from orchestrator.settings import Configuration
from orchestrator.store.database import CAUSES, Database
from orchestrator.store.transaction import Transaction

#: The possible results of a provider's list.
_DONE = (Action.ADOPT, Action.CLOSE, Action.END)


def begin_at_zero(providers: tuple[str, ...]) -> None:
    """Create every counter's known samples before anything is counted: rates, and alerts on absence, need a zero before
    the first count. `providers`: those that are configured."""
    for provider in providers:
        metrics.PING_SECONDS.labels(provider)
        for verdict in Verdict:
            metrics.PINGS.labels(provider, verdict.value)
        for kind in _DONE:
            metrics.RECONCILED.labels(provider, kind.value)
    for reason in StopReason:
        metrics.STOPS.labels(reason.value)
    for job in JOBS:
        for outcome in ("ok", *ErrorCode):
            metrics.JOBS.labels(job, outcome)
    for cause in CAUSES:
        metrics.STORE_RETRIES.labels(cause)
        metrics.STORE_GIVEN_UP.labels(cause)


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
    money = dict.fromkeys(tx.models.currencies(), Decimal(0))
    for placement in unproven:
        money[placement.currency] = money.get(placement.currency, Decimal(0)) + at_risk(placement, now)
    possible: Counter[str] = Counter()
    for placement in tx.leftovers.possible_orphans(now):
        possible[placement.provider] += orphans_of(placement)
        risk = orphans_at_risk(placement, now)
        money[placement.currency] = money.get(placement.currency, Decimal(0)) + risk
    held = {brake.provider for brake in tx.brakes.holding(now)}
    counted = tx.sessions.count_by_state()
    return StoreReading(
        now=now,
        sessions={(state.value, provider or ""): count for state, provider, count in counted},
        oldest_due=_oldest_due(tx),
        unproven=len(unproven),
        at_risk=money,
        forced=tx.leftovers.count_forced(),
        possible_orphans={provider: possible[provider] for provider in providers},
        braked={provider: provider in held for provider in providers},
        parked={JOBS_QUEUE: 0} | dict(tx.parked.counts()),
        clock_ahead=_clock_ahead(tx),
        last_tick=liveness.last_sent(workers),
        clock_offsets={
            (one.kind, one.host, str(one.pid)): one.clock_offset_seconds
            for one in liveness.alive(workers, now)
        },
        oldest_job=tx.inbox.oldest(),
        retention_lags={one.of: one.behind.total_seconds() for one in lags(tx, configuration, now)},
        audit={check.value: 0 for check in Invariant} | tx.findings.counts(),
        last_audit=tx.findings.last_run(),
    )


def _clock_ahead(tx: Transaction) -> float:
    known = tx.clock.known()
    return 0.0 if known is None else (-known.correction).total_seconds()


def _oldest_due(tx: Transaction) -> dict[str, datetime]:
    families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    oldest: dict[Step, datetime] = dict.fromkeys(Step, tx.now())  # a step with no due row is not overdue
    for family in families:
        oldest |= family
    return {step.value: at for step, at in oldest.items()}
