"""Credentials that do not fit what their provider's driver sends: refused before anything is opened."""

from collections.abc import Iterator

from orchestrator.providers.checks.one_key import cards_of
from orchestrator.settings import Configuration, Fault


def faults_of(configuration: Configuration) -> Iterator[Fault]:
    """Yield every fault. Retired credentials count: they still serve closes."""
    for name, card in cards_of(configuration).items():
        where = ("providers", name, "credentials")
        has_some = bool(configuration.providers[name].all_credentials)
        if card.identity.needs_credential and not has_some:
            yield Fault(where, 'is missing: the platform needs a key; give it ["env:NAME"]')
        if card.identity.ignores_credentials and has_some:
            yield Fault(
                where,
                "no call sends them: put {secret} into its headers, or drop them; a secret for endpoints "
                "alone belongs in endpoint_secret_ref",
            )
