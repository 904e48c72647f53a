"""A provider with credentials that cannot work does not start."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.providers.checks import credential_faults
from orchestrator.settings import Configuration, ConfigurationError, ProviderConfiguration, load_settings
from orchestrator.wiring import read_configuration
from tests.drivers import PLATFORMS, PlatformUnderTest, platform_of
from tests.drivers.fpt import TEMPLATE

EVERY_CALL = ("open", "status", "close", "list")


def faults(driver: str, options: Any, *refs: str, **more: Any) -> list[str]:
    one = ProviderConfiguration(
        name="one", driver=driver, base_url="http://h", credentials=refs, options=options, **more
    )
    return [str(fault) for fault in credential_faults.faults_of(Configuration(providers={"one": one}))]


def silent(*calls: str) -> dict[str, Any]:
    """Return a template in which these calls send no key."""
    return {**TEMPLATE, **{name: {**TEMPLATE[name], "headers": {}} for name in calls}}


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_what_cannot_be_asked_without_a_key_needs_one(platform: PlatformUnderTest) -> None:
    other_url = {} if platform.url_option == "base_url" else {platform.url_option: "http://h"}
    options = {**platform.options, **other_url}
    said = faults(platform.driver, options)
    assert bool(said) is not platform.may_lack_key
    assert all(one.startswith("providers.one.credentials: is missing") for one in said)
    assert faults(platform.driver, options, "env:A") == []


def test_a_retired_key_is_enough_to_start_with() -> None:
    options = platform_of("morpheus").options
    assert faults("morpheus", options, retired_credentials=("env:A",)) == []


def test_a_template_needs_a_key_as_soon_as_one_call_sends_it() -> None:
    assert faults("fpt", silent("open", "close", "list")) != []
    assert faults("fpt", silent(*EVERY_CALL)) == []


def test_a_key_that_no_call_of_a_template_sends_is_refused() -> None:
    (said,) = faults("fpt", silent(*EVERY_CALL), "env:A")
    assert said.startswith("providers.one.credentials: no call sends them")
    assert "{secret}" in said
    assert faults("fpt", silent("list"), "env:A") == []


def test_what_is_wrong_with_the_options_is_reported_elsewhere() -> None:
    assert faults("morpheus", {"png": "misspelt"}) == []


def test_it_is_refused_when_a_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "orchestrator.toml"
    file.write_text('[providers.a]\ndriver = "aimlapi"\nbase_url = "https://h/v1"\n')
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=r"providers\.a\.credentials: is missing"):
        read_configuration(load_settings())
