"""Where ids and tokens come from."""

import random
import uuid


class Identity:
    """Ids of rows and tokens of leases. By default from the system's randomness; one that is given repeats itself."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.SystemRandom()

    def new_id(self) -> str:
        """A random UUID, as text."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def new_token(self) -> str:
        """A lease's token: 96 random bits."""
        return f"{self._rng.getrandbits(96):024x}"
