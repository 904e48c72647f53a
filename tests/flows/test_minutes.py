"""What is written each minute, and what charts show of it."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from orchestrator.flows.operations.watch_clock import watch_clock
from orchestrator.flows.operations.write_minutes import write_minutes
from orchestrator.flows.reports.history import last_hour
from orchestrator.flows.reports.overview import overview
from orchestrator.rules.installation.minutes import KEPT, SETTLED_AFTER, minute_of
from orchestrator.rules.values import Minute
from orchestrator.rules.values.minutes import INSTALLATION
from tests.flows.conftest import MakeWorld
from tests.store.stage import at_once
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow


def written(world: World, provider: str = INSTALLATION) -> list[Minute]:
    """Return the sampled minutes that the database has."""
    with world.services.database.reading() as tx:
        rows = tx.minutes.since(world.clock.now - 3 * KEPT, world.clock.now + 3 * KEPT, provider)
    return [row for row in rows if row.sample is not None]


def hour(world: World, provider: str | None = None) -> dict[str, Any]:
    with world.services.database.reading() as tx:
        return last_hour(tx, tx.now(), provider)


def to(world: World, second: float) -> None:
    """Move on to this second of the next minute."""
    at = minute_of(world.clock.now) + MINUTE + timedelta(seconds=second)
    world.pass_time(at - world.clock.now)


def test_a_minute_has_what_lives_what_it_costs_and_what_happened(any_world: MakeWorld) -> None:
    world = any_world()
    to(world, 1)
    session = world.run_session()
    world.pass_time(10 * SECOND)
    world.done("session.close", session_id=session)
    world.settle()
    other = world.run_session()
    to(world, 6)
    write_minutes(world.services)
    [row] = written(world)
    sample = row.sample
    assert sample is not None
    assert (sample.opened, sample.not_opened, sample.closed) == (2, 0, 1)
    assert sample.sessions == {"running": 1}
    price = world.session(other).price_per_node_hour
    assert {currency: Decimal(amount) for currency, amount in sample.burning.items()} == {"USD": price}
    assert (sample.unproven, dict(sample.at_risk)) == (0, {})
    [alpha] = written(world, "alpha")
    assert alpha.sample is not None
    assert (alpha.sample.opened, alpha.sample.closed, alpha.sample.sessions) == (2, 1, {"running": 1})
    assert alpha.counts.began_running == 2
    assert alpha.counts.pings_alive >= 2
    [beta] = written(world, "beta")
    assert beta.sample is not None
    assert (beta.sample.opened, beta.counts.pings_alive) == (0, 0)


def test_a_close_without_proof_costs_and_its_lag_counts_once_it_is_proven(world: World) -> None:
    session = world.run_session("moral")
    to(world, 1)
    world.server.fault("dead", operation="close", upstream="morph")
    world.done("session.close", session_id=session)
    world.settle()
    to(world, 0)
    world.clock.now += SETTLED_AFTER
    write_minutes(world.services)
    [row] = written(world, "morph")
    assert row.sample is not None
    assert (row.sample.unproven, row.sample.closed) == (1, 0)
    assert Decimal(row.sample.at_risk["USD"]) > 0
    world.server.clear_faults()
    world.pass_time(20 * MINUTE)
    write_minutes(world.services)
    ended = world.session(session).ended_at
    assert ended is not None
    with world.services.database.reading() as tx:
        [lag] = tx.minutes.close_lags("morph", minute_of(ended), minute_of(ended) + MINUTE)
    assert lag == ended - (world.session(session).stopped_at or ended)
    assert lag > MINUTE


def test_many_processes_write_a_minute_once_and_nothing_before_it_is_over(any_world: MakeWorld) -> None:
    world = any_world()
    world.run_session()
    workers = [world.services, *(world.another_worker() for _ in range(3))]
    to(world, 4.9)
    assert write_minutes(world.services).claimed > 0, "the minute before it"
    assert write_minutes(world.services).claimed == 0
    world.clock.now += 0.2 * SECOND
    assert (
        sum(bool(tally.claimed) for tally in at_once(*(partial(write_minutes, one) for one in workers))) >= 1
    )
    rows = written(world)
    assert len(rows) == 2
    assert rows[1].minute == minute_of(world.clock.now) - MINUTE


def test_a_minute_in_which_nothing_worked_is_left_out(world: World) -> None:
    world.run_session()
    to(world, 6)
    write_minutes(world.services)
    world.clock.now += 10 * MINUTE
    write_minutes(world.services)
    first, second = written(world)
    assert second.minute - first.minute == 10 * MINUTE
    assert second.sample is not None
    assert second.sample.overdue_seconds > 60


def test_old_minutes_are_deleted(world: World) -> None:
    to(world, 6)
    write_minutes(world.services)
    world.clock.now += KEPT + 2 * MINUTE
    write_minutes(world.services)
    assert [row.minute for row in written(world)] == [minute_of(world.clock.now) - MINUTE]


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=str)
def test_a_clock_that_jumps_moves_no_minute(make_world: MakeWorld, jump: timedelta) -> None:
    world = make_world(checks_time=True)
    world.run_session()
    minutes = []
    for at in range(6):
        world.clock.store_is_ahead = jump if at in (2, 3) else timedelta(0)
        watch_clock(world.services)
        world.pass_time(MINUTE)
        write_minutes(world.services)
        minutes.append(minute_of(world.clock.now - SETTLED_AFTER) - MINUTE)
    assert [row.minute for row in written(world)] == minutes
    pings = [row.counts.pings_alive for row in written(world, "alpha")]
    assert max(pings) <= 4


def test_an_accepted_jump_back_leaves_no_minute_in_the_future(make_world: MakeWorld) -> None:
    world = make_world()
    world.run_session()
    to(world, 6)
    write_minutes(world.services)
    world.clock.store_is_ahead = -HOUR
    world.clock.now += MINUTE
    write_minutes(world.services)
    assert [row.minute for row in written(world)] == [minute_of(world.clock()) - MINUTE]


def test_charts_show_the_last_hour_of_one_provider_and_of_all(world: World) -> None:
    world.run_session("llama")
    world.run_session("moral")
    for _ in range(3):
        to(world, 6)
        write_minutes(world.services)
    alpha, everywhere = hour(world, "alpha"), hour(world)
    assert alpha["starts"]["count"] == 1
    assert everywhere["starts"]["count"] == 2
    assert everywhere["opens"] == {"succeeded": 2, "failed": 0}
    assert alpha["pings"]["count"] == sum(alpha["pings"]["by_verdict"].values()) > 1
    assert alpha["pings"]["count"] == sum(one["pings"]["count"] for one in alpha["minutes"])
    assert everywhere["pings"]["count"] > alpha["pings"]["count"]
    assert [one["sample"]["sessions"] for one in everywhere["minutes"][:2]] == [{"running": 2}] * 2
    assert everywhere["minutes"][-1]["sample"] is None, "the present minute"
    assert Decimal(everywhere["minutes"][0]["sample"]["burning_per_hour"]["USD"]) > 0
    world.clock.now += 2 * HOUR
    assert hour(world)["minutes"] == []
    assert hour(world)["pings"]["mean_ms"] is None


def test_the_overview_says_what_lives_and_what_is_late(world: World) -> None:
    world.run_session()
    world.clock.now += 5 * MINUTE
    with world.services.database.reading() as tx:
        shown = overview(tx, tx.now())
    assert {"state": "running", "provider": "alpha", "count": 1} in shown["sessions"]
    assert shown["overdue_seconds"]["ping"] > 60
    assert Decimal(shown["burning_per_hour"]["USD"]) > 0
    assert (shown["unproven_closes"], shown["brakes"], shown["alarms"]) == (0, [], 0)
    assert "ping" in shown["processes"]["missing"]
