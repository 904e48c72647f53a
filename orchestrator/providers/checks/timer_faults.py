"""Timers that cannot work together: refused before anything is opened."""

from collections.abc import Iterator

from orchestrator.providers.checks.one_key import cards_of
from orchestrator.settings import Configuration, Fault


def faults_of(configuration: Configuration) -> Iterator[Fault]:
    """Yield every fault."""
    for name, card in cards_of(configuration).items():
        policy = configuration.providers[name].policy
        free, whole = policy.close_timeout_seconds, policy.open_timeout_seconds
        if card.identity.frees_key and free >= whole:
            yield Fault(
                ("providers", name, "close_timeout_seconds"),
                f"is {free:g}, and open_timeout_seconds is {whole:g}: an open closes first what its key still has, "
                "which may take as long as a close, so that its own time would end before anything is opened; make "
                "open_timeout_seconds the longer one, by the time that an open takes",
            )
