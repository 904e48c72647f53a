"""Named queries over the tokens of the HTTP API."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from orchestrator.rules.values import ApiToken
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

TOKENS = table_of("tokens")


class Tokens:
    """Queries and changes of tokens, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, token: ApiToken) -> None:
        """Add a token."""
        self._connection.execute(insert(TOKENS).values(**values_of(token)))

    def get(self, token_id: str) -> ApiToken | None:
        """Return the token under this id, revoked and expired ones included."""
        row = self._connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).first()
        return snapshot(ApiToken, row) if row else None

    def valid(self, token_ids: Collection[str], now: datetime) -> Collection[str]:
        """Return those of these tokens that are neither revoked nor expired."""
        lives = or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now)
        mine = (TOKENS.c.id.in_(token_ids), TOKENS.c.revoked_at.is_(None))
        return set(self._connection.scalars(select(TOKENS.c.id).where(*mine, lives)))

    def listed(self) -> Sequence[ApiToken]:
        """Return every token, newest first."""
        query = select(TOKENS).order_by(TOKENS.c.created_at.desc(), TOKENS.c.id)
        return [snapshot(ApiToken, row) for row in self._connection.execute(query)]

    def revoke(self, token_id: str, now: datetime) -> ApiToken | None:
        """Revoke the token and return it; a revoked one stays as it is. None if there is none."""
        mine = TOKENS.c.id == token_id
        self._connection.execute(
            update(TOKENS).where(mine, TOKENS.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        return self.get(token_id)

    def delete_named(self, name: str) -> None:
        """Delete every token of this name."""
        self._connection.execute(delete(TOKENS).where(TOKENS.c.name == name))

    def note_use(self, token_id: str, now: datetime, since: datetime) -> None:
        """Note the use of a token, unless a use after `since` is noted already."""
        stale = or_(TOKENS.c.last_used_at.is_(None), TOKENS.c.last_used_at <= since)
        self._connection.execute(
            update(TOKENS).where(TOKENS.c.id == token_id, stale).values(last_used_at=now)
        )
