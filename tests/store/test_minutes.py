"""What happened minute by minute, on both databases."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from orchestrator.rules.installation.minutes import ping_counts
from orchestrator.rules.values import Minute, MinuteSample, PingCounts, Verdict
from orchestrator.rules.values.minutes import INSTALLATION
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import MINUTE, SECOND, T0
from tests.store.stage import statements

HOUR = timedelta(hours=1)


def minutes(database: Database, provider: str | None = None) -> list[Minute]:
    with database.reading() as tx:
        return [*tx.minutes.since(T0 - HOUR, T0 + HOUR, provider)]


def count(tx: Transaction, counts: PingCounts) -> None:
    tx.minutes.count("alpha", T0, counts)


def save(tx: Transaction, samples: Mapping[str, MinuteSample], minute: datetime = T0) -> None:
    tx.minutes.sample(minute, samples)


def test_pings_of_many_processes_add_up_in_their_minute(database: Database) -> None:
    first = ping_counts([(Verdict.ALIVE, 100), (Verdict.GONE, 30)], tokens=2, cost_usd=Decimal("0.000001"))
    second = ping_counts([(Verdict.ALIVE, 700)], tokens=1, began=[2 * SECOND])
    for counts in (first, second):
        database.transact(partial(count, counts=counts))
    database.transact(lambda tx: tx.minutes.count("alpha", T0 + MINUTE, second))
    database.transact(lambda tx: tx.minutes.count("beta", T0, second))
    [one, _] = minutes(database, "alpha")
    assert (one.minute, one.provider, one.sample) == (T0, "alpha", None)
    assert (one.counts.pings_alive, one.counts.pings_gone, one.counts.pings_loading) == (2, 1, 0)
    assert (one.counts.ping_ms, one.counts.ping_most_ms) == (830, 700)
    assert (one.counts.tokens, one.counts.cost_usd) == (3, Decimal("0.000001"))
    assert (one.counts.began_running, one.counts.until_running_ms) == (1, 2000)
    assert [row.provider for row in minutes(database)] == ["alpha", "beta", "alpha"]


def test_a_minute_is_sampled_once_and_keeps_its_counts(database: Database) -> None:
    counts = ping_counts([(Verdict.ALIVE, 100)])
    database.transact(lambda tx: tx.minutes.count("alpha", T0, counts))
    samples = [MinuteSample(sampled_at=T0 + n * SECOND, sessions={"running": n}, opened=n) for n in (1, 2)]
    for sample in samples:
        database.transact(partial(save, samples={"alpha": sample, INSTALLATION: sample}))
    whole, alpha = minutes(database)
    assert (whole.provider, whole.sample) == (INSTALLATION, samples[0])
    assert (alpha.counts, alpha.sample) == (counts, samples[0])
    database.transact(lambda tx: tx.minutes.count("alpha", T0, counts))
    [late] = minutes(database, "alpha")
    assert (late.counts.pings_alive, late.sample) == (2, samples[0])
    with database.reading() as tx:
        assert tx.minutes.is_sampled(T0)
        assert not tx.minutes.is_sampled(T0 + MINUTE)


def test_old_minutes_and_those_of_a_clock_that_jumped_are_forgotten(database: Database) -> None:
    for n in range(-3, 4):
        sample = {INSTALLATION: MinuteSample(sampled_at=T0)}
        database.transact(partial(save, samples=sample, minute=T0 + n * MINUTE))
    database.transact(lambda tx: tx.minutes.forget(T0 - 2 * MINUTE, T0 + MINUTE))
    assert [one.minute for one in minutes(database)] == [T0 + n * MINUTE for n in range(-2, 2)]


def test_what_happened_in_a_minute_is_read_by_indexes(on_sqlite: Database) -> None:
    with on_sqlite.reading() as tx, statements(on_sqlite) as seen:
        tx.minutes.opens("alpha", T0, T0 + MINUTE)
        tx.minutes.close_lags("alpha", T0, T0 + MINUTE)
        tx.minutes.since(T0 - HOUR, T0)
        tx.minutes.since(T0 - HOUR, T0, "alpha")
        tx.minutes.forget(T0 - HOUR, T0 + HOUR)
    assert len(seen) == 6
    with on_sqlite.engine.connect() as connection:
        for statement, parameters in seen:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            assert [row[3] for row in plan if row[3].startswith("SCAN")] == [], statement
