"""Ids of rows, tokens of leases, and the id of this installation, which is created once and stays with the database."""

import random
import uuid

from sqlalchemy import Connection, select

from orchestrator.rules.reconcile.installations import DIGITS, placement_id
from orchestrator.store.plain import table_of


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


INSTALLATION = table_of("installation")
#: There is one row.
_ROW = 1


class Installation:
    """The installation's id, inside one transaction."""

    def __init__(self, connection: Connection, identity: Identity) -> None:
        self._connection = connection
        self._identity = identity
        self._made_here = False

    def new_placement_id(self) -> str:
        """Return a placement's id, which is also its name at platforms. The first call creates the installation's
        id."""
        return self._identity.new_placement_id(self.known() or self._make())

    def known(self) -> str | None:
        """Return the installation's id; None if it never opened anything. A process reads it once, unless this very
        transaction created it, for that may be undone."""
        if self._identity.installation is not None:
            return self._identity.installation
        found = self._connection.execute(select(INSTALLATION.c.id).where(INSTALLATION.c.n == _ROW)).scalar()
        if not self._made_here:
            self._identity.installation = found
        return found

    def _make(self) -> str:
        """Create the id and return the stored one. Of two processes that do so at once, both use the first id."""
        from sqlalchemy.dialects import (
            postgresql,
            sqlite,
        )  # each command imports this module, and few come here

        self._made_here = True
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        fresh = dialect.insert(INSTALLATION).values(n=_ROW, id=self._identity.new_installation())
        self._connection.execute(fresh.on_conflict_do_nothing())
        return str(self._connection.execute(select(INSTALLATION.c.id)).scalar_one())
