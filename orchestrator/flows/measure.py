"""Read what the metrics say of the store, in one short look."""

from datetime import datetime
from decimal import Decimal

from orchestrator.flows.views import at_risk
from orchestrator.observability.metrics import Reading
from orchestrator.rules.audit import Check
from orchestrator.rules.states import Step
from orchestrator.store.database import Database
from orchestrator.store.unit import Transaction


def measure(database: Database, providers: tuple[str, ...]) -> Reading:
    """The gauges' values now. `providers`: those that are configured, braked or not."""
    with database.reading() as tx:
        return _reading(tx, providers)


def _reading(tx: Transaction, providers: tuple[str, ...]) -> Reading:
    now = tx.now()
    unproven = tx.placements.unproven()
    money: dict[str, Decimal] = {}
    for placement in unproven:
        money[placement.currency] = money.get(placement.currency, Decimal(0)) + at_risk(placement, now)
    held = {brake.provider for brake in tx.brakes.listed()}
    counted = tx.sessions.count_by_state()
    return Reading(
        now=now,
        sessions={(state.value, provider or ""): count for state, provider, count in counted},
        oldest_due=_oldest_due(tx),
        unproven=len(unproven),
        at_risk=money,
        forced=tx.leftovers.count_forced(),
        braked={provider: provider in held for provider in providers},
        last_tick=tx.leases.last_seen("scheduler"),
        audit={check.value: 0 for check in Check} | tx.findings.counts(),
        last_audit=tx.findings.last_run(),
    )


def _oldest_due(tx: Transaction) -> dict[str, datetime]:
    families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
    oldest: dict[Step, datetime] = {}
    for family in families:
        oldest |= family
    return {step.value: at for step, at in oldest.items()}
