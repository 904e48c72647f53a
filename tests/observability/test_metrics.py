"""What Prometheus is told: the contract's names, from the store and from every process."""

from prometheus_client import CollectorRegistry, generate_latest

from orchestrator.flows.audit import audit_store
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


def test_each_check_of_the_audit_is_a_number_whose_healthy_value_is_zero(world: World) -> None:
    assert 'orchestrator_audit_violations{check="balance"} 0.0' in _scraped(world)
    assert "orchestrator_audit_last_run_timestamp_seconds" not in _scraped(world)
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = balance + 1")
    audit_store(world.services)
    scraped = _scraped(world)
    assert 'orchestrator_audit_violations{check="balance"} 1.0' in scraped
    assert 'orchestrator_audit_violations{check="leaks"} 0.0' in scraped
    [last] = [line for line in scraped.splitlines() if line.startswith("orchestrator_audit_last_run")]
    assert float(last.split()[1]) == world.clock.now.timestamp()


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
