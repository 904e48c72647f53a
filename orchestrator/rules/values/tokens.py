"""Tokens of the HTTP API: what each allows, for which account, and until when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    """See sessions, accounts, models and events."""
    OPERATE = "operate"
    """Create, start, extend, ping, close and delete sessions, and report interactions."""
    REVEAL = "reveal"
    """See the secret of an endpoint."""
    ADMIN = "admin"
    """Change accounts and models, operate providers, and end closes without the provider's proof."""


#: What a scope allows besides itself.
IMPLIED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.READ}),
    Scope.REVEAL: frozenset({Scope.REVEAL}),
    Scope.ADMIN: frozenset({Scope.ADMIN, Scope.OPERATE, Scope.READ}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiToken:
    """One token, without its secret."""

    id: str
    name: str
    digest: str
    """SHA-256 of the secret, in hexadecimal digits."""
    scopes: tuple[str, ...]
    account_id: str | None = None
    """The only account that the token may see; None: all."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def allows(self, scope: Scope) -> bool:
        """Return whether the token has this scope, or one that implies it."""
        return any(scope in IMPLIED[mine] for mine in Scope if mine.value in self.scopes)

    def is_valid(self, now: datetime) -> bool:
        """Return whether the token is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
