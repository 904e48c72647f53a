"""A key for one session at a time is configured once: two providers would end each other's sessions."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.providers.checks import one_key
from orchestrator.settings import (
    Configuration,
    ConfigurationError,
    ProviderConfiguration,
    SecretStore,
    load_settings,
)
from orchestrator.wiring import read_configuration

SECRETS = SecretStore({"A": "sk-planted-same", "B": "sk-planted-same", "C": "sk-planted-other"})
NODE = {"user": "0x" + "ab" * 20}


def provider(name: str, driver: str, *refs: str, **more: Any) -> ProviderConfiguration:
    plain: dict[str, Any] = {"base_url": f"https://{name}.example/v1", "credentials": refs}
    return ProviderConfiguration(name=name, driver=driver, **plain | more)


def faults(*providers: ProviderConfiguration) -> list[str]:
    found = one_key.faults_of(Configuration(providers={one.name: one for one in providers}), SECRETS)
    assert "planted" not in str(found)
    return [str(fault) for fault in found]


def test_two_providers_with_one_exclusive_secret_are_refused_by_their_references() -> None:
    (said,) = faults(provider("a", "morpheus", "env:C", "env:A"), provider("b", "morpheus", "env:B"))
    assert said.startswith("providers.b.credentials[0]: env:B is the same secret as env:A of providers.a")


class CountingSecrets(SecretStore):
    reads = 0

    def fingerprint(self, ref: str) -> str | None:
        self.reads += 1
        return super().fingerprint(ref)


def test_each_of_a_thousand_keys_is_read_once() -> None:
    names = [f"K{n}" for n in range(1000)]
    secrets = CountingSecrets({name: f"sk-{name}" for name in names})
    one = provider("a", "morpheus", *(f"env:{name}" for name in names))
    assert one_key.faults_of(Configuration(providers={"a": one}), secrets) == []
    assert secrets.reads == len(names)


@pytest.mark.parametrize(
    "second",
    [
        provider("b", "morpheus", "env:C"),
        provider("b", "morpheus", "env:MISSING"),
        provider("b", "openai", "env:B"),
        provider("b", "morpheus", retired_credentials=("env:B",)),
        provider("b", "morpheus", "env:B", options={"png": "misspelt"}),
    ],
)
def test_what_shares_no_key_is_accepted(second: ProviderConfiguration) -> None:
    assert faults(provider("a", "morpheus", "env:A"), second) == []


def test_a_nodes_wallet_has_one_credential_and_one_provider() -> None:
    here = {"base_url": "http://node:8082", "options": NODE}
    (said,) = faults(provider("a", "morpheus-node", "env:A", "env:C", **here))
    assert said.startswith("providers.a.credentials[1]: is a second credential")
    (said,) = faults(
        provider("a", "morpheus-node", "env:A", **here), provider("b", "morpheus-node", "env:C", **here)
    )
    assert said.startswith("providers.b.base_url: is the node of providers.a too")
    assert faults(provider("a", "morpheus-node", "env:A", options=NODE)) == []


@pytest.mark.parametrize(
    ("node", "wallet", "fault"),
    [
        ("http://NODE:8082", "cd", "base_url"),
        ("http://node:8082/", "cd", "base_url"),
        ("http://other:8082", "ab", "user"),
        ("http://other:8082", "AB", "user"),
        ("http://other:8082", "cd", None),
        ("http://node:8083", "cd", None),
        ("http://node:8082/second", "cd", None),
    ],
)
def test_one_wallet_is_known_by_its_address_and_by_its_nodes(
    node: str, wallet: str, fault: str | None
) -> None:
    said = faults(
        provider("a", "morpheus-node", "env:A", base_url="http://node:8082", options=NODE),
        provider("b", "morpheus-node", "env:C", base_url=node, options={"user": "0x" + wallet * 20}),
    )
    assert [one.partition(":")[0] for one in said] == ([f"providers.b.{fault}"] if fault else [])


def test_a_port_that_goes_without_saying_makes_no_other_node() -> None:
    (said,) = faults(
        provider("a", "morpheus-node", "env:A", base_url="http://node", options=NODE),
        provider("b", "morpheus-node", "env:C", base_url="http://node:80", options=NODE),
    )
    assert said.startswith("providers.b.base_url: is the node of providers.a too")


def test_it_is_refused_when_a_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "orchestrator.toml"
    file.write_text(
        "".join(
            f'[providers.{name}]\ndriver = "morpheus"\nbase_url = "https://h/v1"\ncredentials = ["env:KEY_{name}"]\n'
            for name in ("a", "b")
        )
    )
    for name in ("a", "b"):
        monkeypatch.setenv(f"KEY_{name}", "sk-planted")
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=r"providers\.b\.credentials\[0\]: env:KEY_b is the same"):
        read_configuration(load_settings())
