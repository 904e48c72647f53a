"""The URL of the database alone is what all settings together say, and their faults are raised."""

import sys

import pytest

from orchestrator.settings import ConfigurationError, load_settings
from orchestrator.settings.database import database_url

POSTGRESQL = "postgres://me:hunter2@db/orchestrator"
ENVIRONMENTS = [
    {},
    {"ORCHESTRATOR_DATABASE_URL": ""},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:////data/o.db", "ORCHESTRATOR_LOG": "json"},
    {"ORCHESTRATOR_DATABASE_URL": POSTGRESQL, "ORCHESTRATOR_BROKER_URL": "redis://broker/0"},
    {
        "orchestrator_database_url": POSTGRESQL,
        "ORCHESTRATOR_FINGERPRINT_KEY": "k",
        "ORCHESTRATOR_CONFIG": "o",
    },
    {"ORCHESTRATOR_DATABASE_URL": POSTGRESQL, "ORCHESTRATOR_FPT_KEY": "a provider's", "OTHER": "x"},
    {"ORCHESTRATOR_DATABASE_URL": POSTGRESQL, "ORCHESTRATOR_METRICS_PORT": "9090"},
    {"ORCHESTRATOR_BROKER_URL": "sentinel://one", "ORCHESTRATOR_SENTINEL_MASTER": "m"},
]
WRONG = [
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///:memory:"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///:memory:?cache=shared"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///file:/data/o.db?uri=true"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///file:o?mode=memory&cache=shared&uri=true"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///file:o.db"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///o.db?mode=ro"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///?x=1"},
    {"ORCHESTRATOR_DATABASE_URL": "sqlite:///o.db\x1b[2J"},
    {"ORCHESTRATOR_DATABASE_URL": "mysql://db"},
    {"ORCHESTRATOR_BROKER_URL": "http://broker"},
    {"ORCHESTRATOR_BROKER_URL": "sentinel://one"},
    {"ORCHESTRATOR_RESULT_URL": "http://results"},
    {"ORCHESTRATOR_LOG": "loud", "ORCHESTRATOR_API_PORT": "x"},
]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "RESULT_URL", "CONFIG", "LOG"):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}", raising=False)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_the_one_of_all_settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert database_url() == load_settings().database_url


@pytest.mark.parametrize("environment", WRONG)
def test_every_fault_of_all_settings_is_told(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        database_url()
    with pytest.raises(ConfigurationError) as all_raised:
        load_settings()
    assert raised.value.faults == all_raised.value.faults


def test_a_wrong_setting_is_read_by_pydantic_and_a_right_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orchestrator.settings.environment", None)
    assert database_url({"ORCHESTRATOR_DATABASE_URL": "sqlite:////data/o.db"}) == "sqlite:////data/o.db"
    with pytest.raises(ImportError):
        database_url({"ORCHESTRATOR_TRACES": "true"})
