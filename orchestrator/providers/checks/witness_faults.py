"""A provider that must answer for the sessions of another: it must be configured, and be able to answer."""

from collections.abc import Iterator

from orchestrator.providers.checks.one_key import cards_of
from orchestrator.settings import Configuration, Fault


def faults_of(configuration: Configuration) -> Iterator[Fault]:
    """Yield every fault."""
    for name, card in cards_of(configuration).items():
        witness, driver = card.status.witness, card.status.witness_driver
        if witness is None:
            continue
        other = configuration.providers.get(witness)
        if other is None:
            known = ", ".join(sorted(set(configuration.providers) - {name})) or "there is no other"
            yield Fault(("providers", name, "node"), f"{witness} is not a provider of this file: {known}")
        elif other.driver != driver:
            said = f"{witness} is of the driver {other.driver}: it must be a {driver}"
            yield Fault(("providers", name, "node"), said)
