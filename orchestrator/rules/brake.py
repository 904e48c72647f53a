"""The brake: when most of a provider's sessions fall ill at once, the provider is at fault, not the sessions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.rules.values import Brake

#: Doubts and deaths count together that began within this time.
WINDOW = timedelta(minutes=2)
#: With fewer running sessions than this, all of them must be in doubt, and at least two.
MANY, FEW = 5, 2
#: While braked, sessions in doubt are pinged this much less often.
SLOWDOWN = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Of the sessions of one provider, or of one credential, within the window."""

    running: int
    """Running now, in doubt or not."""
    doubtful: int
    """Of these: suspect, once said to be gone, or lost and placed here again, since the window began."""
    died: int
    """Stopped as dead, or moved on from here as dead, since the window began."""


def is_at_fault(health: Health) -> bool:
    """More than half are ill; of a few, all."""
    total, ill = health.running + health.died, health.doubtful + health.died
    if total >= MANY:
        return 2 * ill > total
    return total >= FEW and ill == total


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A provider that a new placement may go to."""

    provider: str
    avoiding: frozenset[str] = frozenset()
    """Its credentials that a brake holds."""


def choices(providers: Sequence[str], brakes: Collection[Brake]) -> list[Choice]:
    """Where a new placement goes, best first: what a brake holds is at fault, and comes last.

    It comes all the same: whoever has no other provider is served there as soon as it is well again."""
    held = {brake.provider for brake in brakes}
    braked = {brake.provider for brake in brakes if brake.credential is None}
    well = [
        Choice(provider=name, avoiding=_keys_held(name, brakes)) for name in providers if name not in braked
    ]
    return well + [Choice(provider=name) for name in providers if name in held]


def _keys_held(provider: str, brakes: Collection[Brake]) -> frozenset[str]:
    return frozenset(
        brake.credential for brake in brakes if brake.provider == provider and brake.credential is not None
    )
