"""A provider that must answer for the sessions of another: it must be configured, and be able to answer."""

from collections.abc import Iterator

from orchestrator.providers.checks.one_key import cards_of
from orchestrator.settings import Configuration, Fault


def faults_of(configuration: Configuration) -> Iterator[Fault]:
    """Yield every fault."""
    cards = cards_of(configuration)
    for name, card in cards.items():
        if card.witness is None:
            continue
        other = configuration.providers.get(card.witness)
        if other is None:
            known = ", ".join(sorted(set(configuration.providers) - {name})) or "there is no other"
            yield Fault(f"providers.{name}.node", f"{card.witness} is not a provider of this file: {known}")
        elif other.driver != "morpheus-node":
            said = f"{card.witness} is of the driver {other.driver}: it must be a morpheus-node"
            yield Fault(f"providers.{name}.node", said)
