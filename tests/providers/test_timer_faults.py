"""Timers under which nothing could ever be opened are refused at the start."""

from pathlib import Path

import pytest

from orchestrator.providers.checks import timer_faults
from orchestrator.rules.values import Policy
from orchestrator.settings import Configuration, ConfigurationError, ProviderConfiguration, load_settings
from orchestrator.wiring import read_configuration


def faults(driver: str, *, opening: float, closing: float) -> list[str]:
    policy = Policy(open_timeout_seconds=opening, close_timeout_seconds=closing)
    one = ProviderConfiguration(
        name="one", driver=driver, base_url="http://h", credentials=("env:A",), policy=policy
    )
    return [str(fault) for fault in timer_faults.faults_of(Configuration(providers={"one": one}))]


@pytest.mark.parametrize(("opening", "closing"), [(8, 20), (60, 60)])
def test_whoever_frees_a_key_first_needs_the_longer_time_for_an_open(opening: float, closing: float) -> None:
    (said,) = faults("morpheus", opening=opening, closing=closing)
    assert said.startswith("providers.one.close_timeout_seconds: is")
    assert "make open_timeout_seconds the longer one" in said
    assert faults("openai", opening=opening, closing=closing) == []


def test_as_it_is_by_default() -> None:
    default = Policy()
    opening, closing = default.open_timeout_seconds, default.close_timeout_seconds
    assert faults("morpheus", opening=opening, closing=closing) == []


def test_it_is_refused_when_a_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "orchestrator.toml"
    gateway = '[providers.g]\ndriver = "morpheus"\nbase_url = "https://h/v1"\ncredentials = ["env:KEY"]\n'
    file.write_text(f"[policy]\nopen_timeout_seconds = 8\nclose_timeout_seconds = 20\n{gateway}")
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(file))
    monkeypatch.setenv("KEY", "sk-planted")
    with pytest.raises(ConfigurationError, match=r"providers\.g\.close_timeout_seconds: is 20"):
        read_configuration(load_settings())
