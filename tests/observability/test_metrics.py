"""What Prometheus is told: the contract's names, from the store and from every process."""

from prometheus_client import CollectorRegistry, generate_latest

from orchestrator.flows.measure import measure
from orchestrator.observability.metrics import JOBS, PINGS, StoreCollector
from tests.world import MINUTE, SECOND, World


def _scraped(world: World) -> str:
    registry = CollectorRegistry()
    providers = tuple(world.services.config.providers)
    registry.register(StoreCollector(lambda: measure(world.services.database, providers)))
    return generate_latest(registry).decode()


def test_the_store_is_read_at_each_scrape(world: World) -> None:
    assert "orchestrator_unproven_closes 0.0" in _scraped(world)
    session_id = world.run_session("moral")
    assert 'orchestrator_sessions{provider="morph",state="running"} 1.0' in _scraped(world)
    assert 'orchestrator_provider_braked{provider="morph"} 0.0' in _scraped(world)
    world.jump(10 * MINUTE)
    assert 'orchestrator_oldest_overdue_seconds{step="ping"} 570.0' in _scraped(world)
    world.settle()
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(60 * SECOND)
    scraped = _scraped(world)
    assert "orchestrator_unproven_closes 1.0" in scraped
    assert 'orchestrator_money_at_risk{currency="USD"} 0.0' in scraped
    world.server.clear_faults()
    world.pass_time(10 * MINUTE)
    assert "orchestrator_unproven_closes 0.0" in _scraped(world)


def test_pings_and_jobs_are_counted(world: World) -> None:
    def value(counter: object, **labels: str) -> float:
        return float(counter.labels(**labels)._value.get())  # type: ignore[attr-defined]

    before = value(PINGS, provider="alpha", verdict="ALIVE")
    refused = value(JOBS, name="orchestrator.session.close", outcome="unknown_session")
    world.run_session()
    world.pass_time(MINUTE)
    assert world.refused("session.close", session_id="nobody") == "unknown_session"
    assert value(PINGS, provider="alpha", verdict="ALIVE") > before
    assert value(JOBS, name="orchestrator.session.close", outcome="unknown_session") == refused + 1
