"""The id of this installation, which is created once and stays with the database."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.core.identity import Identity
from orchestrator.store.plain import table_of

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
        return self._identity.new_placement_id(self.known() or self._made())

    def known(self) -> str | None:
        """Return the installation's id; None if it never opened anything. A process reads it once, unless this very
        transaction created it, for that may be undone."""
        if self._identity.installation is not None:
            return self._identity.installation
        found = self._connection.execute(select(INSTALLATION.c.id).where(INSTALLATION.c.n == _ROW)).scalar()
        if not self._made_here:
            self._identity.installation = found
        return found

    def _made(self) -> str:
        """Create the id and return the stored one. Of two processes that do so at once, both use the first id."""
        self._made_here = True
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        fresh = dialect.insert(INSTALLATION).values(n=_ROW, id=self._identity.new_installation())
        self._connection.execute(fresh.on_conflict_do_nothing())
        return str(self._connection.execute(select(INSTALLATION.c.id)).scalar_one())
