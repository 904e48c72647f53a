"""Create ids and tokens."""

import random
import uuid

from orchestrator.rules.reconcile.installations import DIGITS, placement_id


class Identity:
    """Ids of rows and tokens of leases. They come from the system's randomness, or from a given `rng`: a seeded one
    repeats them."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.SystemRandom()
        self.installation: str | None = None
        """The installation's id, once it is known to be committed."""

    def new_id(self) -> str:
        """Return a random UUID, as text."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def new_placement_id(self, installation: str) -> str:
        """Return a UUID, as text, that carries the id of its installation."""
        return placement_id(installation, self._rng.getrandbits(128))

    def new_installation(self) -> str:
        """Return an installation's id for a database that has none yet."""
        return f"{self._rng.getrandbits(4 * DIGITS):0{DIGITS}x}"

    def new_token(self) -> str:
        """Return a lease's token: 96 random bits."""
        return f"{self._rng.getrandbits(96):024x}"
