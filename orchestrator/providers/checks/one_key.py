"""Keys and wallets that carry one session at a time, and are configured twice: refused before anything is opened."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import httpx

from orchestrator.providers import registry
from orchestrator.providers.port.card import Card
from orchestrator.settings import Configuration, Fault, ProviderConfiguration, SecretStore


def faults_of(configuration: Configuration, secrets: SecretStore) -> list[Fault]:
    """Yield every fault. Secrets that this machine lacks are checked on the machines that have them."""
    cards = cards_of(configuration)
    one_session = [
        configuration.providers[name] for name, card in cards.items() if card.identity.exclusive_credentials
    ]
    wallets = [
        (configuration.providers[name], card.identity.wallet)
        for name, card in cards.items()
        if card.identity.wallet
    ]
    return [*_same_secret(one_session, secrets), *_same_wallet(wallets)]


def cards_of(configuration: Configuration) -> Mapping[str, Card]:
    """Return the cards of the drivers that can be built; another check reports the faults of the others."""
    found = {}
    for name, provider in configuration.providers.items():
        try:
            found[name] = registry.card(provider.driver, {"base_url": provider.base_url, **provider.options})
        except ValueError:
            continue
    return found


def _same_secret(providers: list[ProviderConfiguration], secrets: SecretStore) -> Iterator[Fault]:
    """Yield a fault for each secret that two providers share. Within one provider the claim prevents two sessions on
    it; the platform sees the secret alone, whatever provider we name it under."""
    seen: dict[str, list[tuple[str, str]]] = {}  # each key is read once: a provider may have thousands
    for provider in providers:
        for n, ref in enumerate(provider.credentials):
            fingerprint = secrets.fingerprint(ref)
            if fingerprint is None:
                continue
            holders = seen.setdefault(fingerprint, [])
            for other, known in holders:
                if other != provider.name:
                    yield _shared(provider.name, n, ref, f"{known} of providers.{other}")
            holders.append((provider.name, ref))


def _shared(provider: str, n: int, ref: str, known: str) -> Fault:
    return Fault(
        ("providers", provider, "credentials", n),
        f"{ref} is the same secret as {known}, and a key carries one session: "
        "opening one there would close the other's; give each provider a key of its own",
    )


def _same_wallet(wallets: Sequence[tuple[ProviderConfiguration, str]]) -> Iterator[Fault]:
    for provider, _ in wallets:
        if len(provider.credentials) > 1:
            yield Fault(
                ("providers", provider.name, "credentials", 1),
                "is a second credential for the node's one wallet, which sends one transaction at a time: "
                "keep one, and mark others retired = true",
            )
    for (other, theirs), (provider, wallet) in combinations(wallets, 2):
        if _address(other.base_url) == _address(provider.base_url):
            yield Fault(
                ("providers", provider.name, "base_url"),
                f"is the node of providers.{other.name} too: its one wallet can serve one provider; drop one of them",
            )
        elif wallet == theirs:
            yield Fault(
                ("providers", provider.name, "user"),
                f"is the wallet of providers.{other.name} too, whatever the address of its node: one "
                "would close the other's sessions; drop one of them, or give it a node with a wallet of its own",
            )


def _address(base_url: str) -> str:
    """Return the address in one form: host names have no case, and each scheme has a default port."""
    try:
        return str(httpx.URL(base_url)).rstrip("/")
    except httpx.InvalidURL:  # such an address fails at the first call
        return base_url
