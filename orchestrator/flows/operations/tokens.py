"""Make, check and revoke tokens of the HTTP API. The database keeps only a digest of each secret."""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import ApiToken, Scope
from orchestrator.store.database import Database, StoreOutage
from orchestrator.store.transaction import Transaction

#: How every token begins, so that scanners for leaked secrets recognise it.
MARK = "orch"
#: Random bytes of a secret: no search finds it, so that a plain digest protects it.
SECRET_BYTES = 32
#: Uses of a token within this time are noted once.
NOTED_EVERY = timedelta(minutes=1)
#: Compared with where no token has the id, so that both cases take as long.
_NO_DIGEST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewToken:
    """A token, with its text, which is shown once."""

    token: ApiToken
    text: str


def create_token(
    database: Database,
    name: str,
    scopes: Collection[Scope],
    *,
    account_id: str | None = None,
    lasts: timedelta | None = None,
    replaces: bool = False,
) -> NewToken:
    """Make a token and return it with its text. `lasts`: until it expires; None: it does not. `replaces`: others of
    this name are deleted.

    Raises Refusal if the account is unknown, or an account's token would have the scope `admin`."""
    if account_id is not None and Scope.ADMIN in scopes:
        message = "a token of one account cannot have the scope admin, which reaches every account"
        raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[])
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)

    def create(tx: Transaction) -> ApiToken:
        if account_id is not None and tx.accounts.get(account_id) is None:
            message = f"account {account_id} is unknown"
            raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, message, account_id=account_id)
        now = tx.now()
        if replaces:
            tx.tokens.delete_named(name)
        token = ApiToken(
            id=token_id,
            name=name,
            digest=_digest(secret),
            scopes=tuple(scope.value for scope in Scope if scope in scopes),
            account_id=account_id,
            created_at=now,
            expires_at=None if lasts is None else now + lasts,
        )
        tx.tokens.insert(token)
        return token

    return NewToken(token=database.transact(create), text=f"{MARK}_{token_id}_{secret}")


def authenticate(database: Database, text: str) -> ApiToken | None:
    """Return the valid token with this text, and note its use; None if there is none."""
    mark, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if mark != MARK or not secret or not text.isascii() or not text.isprintable():
        return None
    with database.reading() as tx:
        token, now = tx.tokens.get(token_id), tx.now()
    same = hmac.compare_digest(_digest(secret), token.digest if token else _NO_DIGEST)
    if token is None or not same or not token.is_valid(now):
        return None
    if token.last_used_at is None or now - token.last_used_at >= NOTED_EVERY:
        with suppress(StoreOutage):  # a database that only reads, or is locked, answers readers all the same
            database.transact(lambda tx: tx.tokens.note_use(token.id, now, now - NOTED_EVERY))
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
