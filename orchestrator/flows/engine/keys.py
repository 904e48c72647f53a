"""The keys of each provider that a worker has: looked through every five seconds at most, however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.settings import SecretStore

#: How long a look at the keys is used by claims. Each call compares the fingerprint of its own key again.
KEPT_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one provider, as they were found."""

    held: Mapping[str, str]
    """Fingerprint → reference of the secrets that this worker has."""
    lacking: frozenset[str]
    """The references that it cannot resolve."""


class KeyRings:
    """The key rings of one process, by provider. Threads may share it: at worst two of them look at once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[datetime, KeyRing]] = {}

    def of(
        self, provider: str, refs: Sequence[str], secrets: SecretStore, now: datetime | None = None
    ) -> KeyRing:
        """Return the key ring; found lately where `now` is given, else found at once."""
        at, found = self._found.get(provider, (None, None))
        if found is not None and at is not None and now is not None and at <= now < at + KEPT_FOR:
            return found
        ring = looked_through(refs, secrets)
        if now is not None:
            self._found[provider] = now, ring
        return ring


def looked_through(refs: Sequence[str], secrets: SecretStore) -> KeyRing:
    """Look every reference up."""
    found = [(secrets.fingerprint(ref), ref) for ref in refs]
    return KeyRing(
        held={fingerprint: ref for fingerprint, ref in found if fingerprint is not None},
        lacking=frozenset(ref for fingerprint, ref in found if fingerprint is None),
    )
