"""What a world of the tests knows of one provider: the upstream platform behind it, its keys, its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from orchestrator.rules.values import Policy
from orchestrator.settings import ProviderConfiguration

#: The model of an upstream that names no other.
MODEL = "llama-3"
#: A model that any account may use.
KIND = {
    "type": "LLM",
    "size": "8B",
    "learning_stage": "Instruction-tuned",
    "price_per_node_hour": "1.20",
    "currency": "USD",
}


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """One provider of a world."""

    name: str
    driver: str
    kind: str = ""
    """Of the simulated upstream; the driver's name where it is the same."""
    models: tuple[str, ...] = (MODEL,)
    keys: int = 1
    numbers_keys: bool = True
    """Its keys are NAME_1, NAME_2 …; otherwise its one key is NAME."""
    options: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    """Options of the simulated upstream."""
    url_option: str = "base_url"
    policy: Policy | None = None
    exclusive: bool = False

    def with_options(self, **options: Any) -> Self:
        return replace(self, options={**self.options, **options})

    @property
    def provider_options(self) -> Mapping[str, Any]:
        """Return the options of its driver in a world."""
        return self.options

    @property
    def secrets(self) -> dict[str, str]:
        """Return its keys by the names of their variables."""
        name = self.name.upper().replace("-", "_")
        if not self.numbers_keys:
            return {name: f"sk-{self.name}"}
        return {f"{name}_{n}": f"sk-{self.name}-{n}" for n in range(1, self.keys + 1)}

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the references to its keys."""
        return tuple(f"env:{name}" for name in self.secrets)

    def spec(self) -> dict[str, Any]:
        """Return the simulated upstream."""
        keys = list(self.secrets.values())
        return {"kind": self.kind or self.driver, "keys": keys, "models": [*self.models], **self.upstream}

    def configured(self, url: str, policy: Policy, max_in_flight: int = 500) -> ProviderConfiguration:
        """Return the configuration of the provider at `url`."""
        other = {} if self.url_option == "base_url" else {self.url_option: url}
        return ProviderConfiguration(
            name=self.name,
            driver=self.driver,
            base_url="" if other else url,
            credentials=self.refs,
            max_in_flight=max_in_flight,
            policy=self.policy or policy,
            options={**self.provider_options, **other},
        )
