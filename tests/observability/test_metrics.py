"""The metrics for Prometheus: the contract's names, from the store and from every process."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.flows.reports.measure import measure, measure_if_possible
from orchestrator.observability.gauges import StoreCollector
from orchestrator.observability.metrics import JOBS, PINGS
from orchestrator.rules.values import Worker
from orchestrator.settings import Configuration
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.store.database import Database
from tests.tools import metrics as page
from tests.world import MINUTE, SECOND, START, World

SHOP = WebhookConfiguration(url="https://shop.test/", secret_refs=("env:NONE",))
A_SCHEDULER = Worker(
    id="one",
    kind="scheduler",
    host="here",
    pid=1,
    version="1",
    started_at=START,
    seen_at=START,
    clock_offset_seconds=0.0,
    last_sent_at=START,
)


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


def test_retention_that_lags_behind_is_a_number(world: World) -> None:
    def numbers() -> dict[str, float]:
        lines = [line.split() for line in _scraped(world).splitlines() if not line.startswith("#")]
        return {name.removeprefix("orchestrator_"): float(value) for name, value in lines}

    assert numbers()["inbox_oldest_seconds"] == 0
    assert numbers()['retention_lag_seconds{of="jobs"}'] == 0
    world.jump(timedelta(days=32))
    assert numbers()["inbox_oldest_seconds"] == 32 * 86_400
    assert numbers()['retention_lag_seconds{of="jobs"}'] == 2 * 86_400
    assert numbers()['retention_lag_seconds{of="sessions"}'] == 0


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


def test_what_an_alert_watches_is_zero_before_anything_happens(world: World) -> None:
    scraped = _scraped(world)
    assert 'orchestrator_money_at_risk{currency="USD"} 0.0' in scraped
    for step in ("ping", "stop", "close", "admit", "funds"):
        assert f'orchestrator_oldest_overdue_seconds{{step="{step}"}} 0.0' in scraped


def test_a_scrape_while_the_database_is_away_says_so_and_has_no_stale_number(world: World) -> None:
    assert "orchestrator_database_up 1.0" in _scraped(world)
    nowhere, registry = Database("sqlite:////nonexistent/place.db"), CollectorRegistry()
    registry.register(StoreCollector(lambda: measure_if_possible(nowhere, ("alpha",), Configuration())))
    scraped = [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    assert scraped == ["orchestrator_database_up 0.0"]


def test_alarms_about_keys_and_models_are_numbers(world: World) -> None:
    paused = 'orchestrator_provider_alarms{kind="credential_paused",provider="alpha"}'
    assert f"{paused} 0.0" in _scraped(world)
    world.run_session("llama")
    world.server.fault("unauthorized", upstream="alpha")
    world.pass_time(2 * MINUTE)
    assert f"{paused} 1.0" in _scraped(world)
    assert 'orchestrator_installation_alarms{kind="network_down"} 0.0' in _scraped(world)


def test_the_oldest_event_that_a_webhook_lacks_is_a_number(world: World) -> None:
    oldest = 'orchestrator_webhook_oldest_undelivered_seconds{webhook="shop"}'
    put_webhook(world.services.database, "shop", SHOP, active=True)
    assert f"{oldest} 0.0" in _scraped(world)
    world.done("account.credit", account_id="acme", amount="1.00", currency="USD", key="one")
    world.jump(MINUTE)
    assert f"{oldest} 60.0" in _scraped(world)  # no worker has compared it with the webhook yet


def test_the_page_of_metrics_is_written_from_the_code() -> None:
    assert page.text() == page.PAGE.read_text(), "write it again: python -m tests.tools.metrics"


def test_a_reading_has_the_series_and_labels_that_the_page_names(world: World) -> None:
    world.create_session()
    audit_store(world.services)
    world.services.database.transact(lambda tx: tx.workers.report(A_SCHEDULER))
    put_webhook(world.services.database, "shop", SHOP, active=True)
    registry = CollectorRegistry()
    providers = tuple(world.services.config.providers)
    registry.register(StoreCollector(lambda: measure(world.services.database, providers)))
    for family in registry.collect():
        for sample in family.samples:
            assert set(sample.labels) == page.series()[sample.name]
    assert {family.name for family in registry.collect()} == {one.name for one in page.gauges()}


def test_counters_begin_at_zero_for_every_process_of_a_tree(tmp_path: Path) -> None:
    code = (
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from prometheus_client.multiprocess import MultiProcessCollector\n"
        "from orchestrator.flows.reports.measure import begin_at_zero\n"
        "begin_at_zero(('alpha',), ['shop'])\n"
        "registry = CollectorRegistry(); MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())"
    )
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    for sample in (
        'orchestrator_webhook_deliveries_total{outcome="failed",webhook="shop"}',
        'orchestrator_reconciled_total{kind="close",provider="alpha"}',
        'orchestrator_reconciled_total{kind="adopt",provider="alpha"}',
        'orchestrator_pings_total{provider="alpha",verdict="GONE"}',
        'orchestrator_ping_seconds_count{provider="alpha"}',
        'orchestrator_stops_total{reason="dead"}',
        'orchestrator_jobs_total{name="orchestrator.session.create",outcome="no_capacity"}',
        'orchestrator_store_given_up_total{cause="deadlock"}',
        "orchestrator_close_lag_seconds_count",
        'orchestrator_local_faults_total{kind="files"}',
        'orchestrator_messages_refused_total{queue="orchestrator.jobs"}',
        "orchestrator_messages_dropped_total",
    ):
        assert f"{sample} 0.0\n" in done.stdout
