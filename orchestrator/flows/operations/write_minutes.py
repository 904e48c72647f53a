"""Write, once a minute, what held at the end of the last one, for charts."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.services import Services
from orchestrator.flows.reports.measure import oldest_due
from orchestrator.flows.reports.views import as_text, at_risk
from orchestrator.rules.installation.minutes import AHEAD, KEPT, MINUTE, over_by
from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import MinuteSample, Placement
from orchestrator.rules.values.minutes import INSTALLATION
from orchestrator.store.transaction import Transaction


def write_minutes(services: Services) -> Tally:
    """Write the samples of the last minute that is over, unless another process has, and delete old minutes. A minute
    in which no process could is left without."""
    with services.database.reading() as tx:
        now = tx.now()
        minute = over_by(now)
        if tx.minutes.is_sampled(minute):
            return Tally()
        samples = _samples(tx, tuple(services.config.providers), minute, now)

    def write(tx: Transaction) -> None:
        tx.minutes.sample(minute, samples)
        tx.minutes.forget(now - KEPT, now + AHEAD)

    services.database.transact(write)
    return Tally(claimed=len(samples), settled=len(samples))


def _samples(
    tx: Transaction, providers: Sequence[str], minute: datetime, now: datetime
) -> Mapping[str, MinuteSample]:
    """Return what holds now, and what rows say happened in the minute: of the installation, and of each provider that
    is configured."""
    counted = [one for one in tx.sessions.count_by_state() if one[0] not in TERMINAL]
    unproven = tx.placements.unproven()
    samples = {}
    for name in providers:
        opened, not_opened = tx.minutes.opens(name, minute, minute + MINUTE)
        lags = [_ms(lag) for lag in tx.minutes.close_lags(name, minute, minute + MINUTE)]
        there = [placement for placement in unproven if placement.provider == name]
        samples[name] = MinuteSample(
            sampled_at=now,
            sessions={state.value: n for state, provider, n in counted if provider == name},
            unproven=len(there),
            at_risk=_risk(there, now),
            opened=opened,
            not_opened=not_opened,
            closed=len(lags),
            close_lag_ms=sum(lags),
            close_lag_most_ms=max(lags, default=0),
        )
    return {INSTALLATION: _of_all(tx, samples.values(), counted, unproven, now), **samples}


def _of_all(
    tx: Transaction,
    parts: Collection[MinuteSample],
    counted: Sequence[tuple[State, str | None, int]],
    unproven: Sequence[Placement],
    now: datetime,
) -> MinuteSample:
    sessions: Counter[str] = Counter()
    for state, _, n in counted:
        sessions[state.value] += n
    overdue = [max(0.0, (now - at).total_seconds()) for at in oldest_due(tx, now).values()]
    return MinuteSample(
        sampled_at=now,
        sessions=dict(sessions),
        unproven=len(unproven),
        at_risk=_risk(unproven, now),
        burning={currency: as_text(amount) for currency, amount in tx.minutes.burning().items()},
        overdue_seconds=max(overdue, default=0.0),
        opened=sum(one.opened for one in parts),
        not_opened=sum(one.not_opened for one in parts),
        closed=sum(one.closed for one in parts),
        close_lag_ms=sum(one.close_lag_ms for one in parts),
        close_lag_most_ms=max((one.close_lag_most_ms for one in parts), default=0),
    )


def _risk(placements: Sequence[Placement], now: datetime) -> Mapping[str, str]:
    sums: dict[str, Decimal] = {}
    for placement in placements:
        sums[placement.currency] = sums.get(placement.currency, Decimal(0)) + at_risk(placement, now)
    return {currency: as_text(amount) for currency, amount in sums.items()}


def _ms(lag: timedelta) -> int:
    return max(0, lag // timedelta(milliseconds=1))
