"""The brake: when most of a provider's sessions fall ill at once, the provider is at fault, not the sessions."""

from dataclasses import dataclass
from datetime import timedelta

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


def is_well_again(recovered: int, still_ill: int, wanted: int) -> bool:
    """As many answer again as it takes, or as are still ill there: of a few, fewer than `wanted` can ever recover,
    and who is dead among them must not live on the brake."""
    return recovered >= min(wanted, max(still_ill, 1))


def is_at_fault(health: Health) -> bool:
    """More than half are ill; of a few, all."""
    total, ill = health.running + health.died, health.doubtful + health.died
    if total >= MANY:
        return 2 * ill > total
    return total >= FEW and ill == total
