"""A worker that cannot work yet loses no job: a configuration half written, a read-only database."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import create_engine, text

from orchestrator.client import JOBS_QUEUE
from orchestrator.settings import Settings
from orchestrator.tasks import jobs
from orchestrator.tasks.app import make_app
from tests.waiting import eventually

PUT = {"account_id": "a1", "plan": "payg", "currency": "USD"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, valkey_url: str, tmp_path: Path) -> Any:
    """Start a worker of jobs in this process, on a database, with a configuration."""
    monkeypatch.setattr(jobs, "RETRY_SECONDS", 0.2)
    level = logging.getLogger().level  # Celery's helper sets it, and does not restore it
    with ExitStack() as stack:
        stack.callback(logging.getLogger().setLevel, level)

        def start(database_url: str, said: str = "") -> tuple[Celery, Path]:
            config = tmp_path / "orchestrator.toml"
            config.write_text(said)
            settings = Settings(
                database_url=database_url, broker_url=valkey_url, result_url=valkey_url, config=config
            )
            app, process = make_app(settings)
            stack.callback(process.close)
            stack.enter_context(
                start_worker(
                    app, pool="solo", perform_ping_check=False, queues=[JOBS_QUEUE], shutdown_timeout=60
                )
            )
            return app, config

        yield start


def _put(app: Celery) -> Any:
    return app.send_task("orchestrator.account.put", kwargs=PUT, queue=JOBS_QUEUE)


@pytest.mark.filterwarnings("ignore")
def test_a_job_outlives_a_configuration_that_is_being_written(
    run: Callable[..., tuple[Celery, Path]], sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, config = run(sqlite_url, "[policy]\nping_interval_seconds = \n")
    job = _put(app)
    eventually(lambda: "cannot work yet: ConfigurationError" in caplog.text, "it is logged")
    assert not job.ready()
    config.write_text("")
    assert job.get(timeout=60)["ok"]


@pytest.mark.filterwarnings("ignore")
def test_a_job_outlives_a_database_that_only_reads(
    run: Callable[..., tuple[Celery, Path]], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A standby after a failover: psycopg calls that an error of the statement."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        app, _ = run(postgres_url)
        caplog.set_level(logging.INFO)
        job = _put(app)
        eventually(lambda: "not done yet: the database is read-only" in caplog.text, "it is tried in vain")
        assert not job.ready()
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        assert job.get(timeout=60)["ok"]
    admin.dispose()
