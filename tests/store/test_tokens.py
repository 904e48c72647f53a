"""Tokens of the HTTP API on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.flows.operations.tokens import NOTED_EVERY, authenticate, create_token
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import ApiToken, Scope
from orchestrator.store.database import Database
from tests.rules.builders import T0
from tests.store.stage import statements

SECOND = timedelta(seconds=1)


def get(database: Database, token_id: str) -> ApiToken:
    with database.reading() as tx:
        token = tx.tokens.get(token_id)
    assert token is not None
    return token


def at(database: Database, passed: timedelta) -> Database:
    """Return the same database, later."""
    return Database(database.url.render_as_string(hide_password=False), clock=lambda: T0 + passed)


def test_a_token_is_found_by_its_text_and_by_no_other(database: Database) -> None:
    made = create_token(database, "shop", {Scope.OPERATE, Scope.READ}, account_id="acme")
    found = authenticate(database, made.text)
    assert found is not None
    assert (found.id, found.name, found.scopes, found.account_id) == (
        made.token.id,
        "shop",
        ("read", "operate"),
        "acme",
    )
    other = create_token(database, "other", {Scope.READ})
    mixed = f"orch_{made.token.id}_{other.text.split('_', 2)[2]}"
    wrong = ("", "orch", "orch__", made.text[:-1], made.text + "x", mixed, made.text.upper())
    for one in (*wrong, "orch_0_0", "orch_\x00_\x00", "orch_ä_ä", made.text.replace("orch", "orcx")):
        assert authenticate(database, one) is None, one


def test_the_database_does_not_keep_the_secret(database: Database) -> None:
    made = create_token(database, "shop", {Scope.READ})
    secret = made.text.split("_", 2)[2]
    with database.reading() as tx:
        [row] = tx.connection.execute(text("SELECT * FROM tokens")).all()
    assert len(secret) == 43
    assert not any(secret in str(value) for value in row)
    assert secret not in repr(made.token)


def test_an_expired_or_revoked_token_is_refused(database: Database) -> None:
    expires = create_token(database, "a", {Scope.READ}, lasts=SECOND)
    revoked = create_token(database, "b", {Scope.READ})
    assert authenticate(database, expires.text) is not None
    later = at(database, SECOND)
    assert authenticate(later, expires.text) is None
    assert authenticate(later, revoked.text) is not None
    database.transact(lambda tx: tx.tokens.revoke(revoked.token.id, tx.now()))
    assert authenticate(later, revoked.text) is None
    lives = create_token(database, "c", {Scope.READ}, lasts=2 * SECOND)
    with later.reading() as tx:
        asked = {expires.token.id, revoked.token.id, lives.token.id, "unknown"}
        assert tx.tokens.valid(asked, tx.now()) == {lives.token.id}
    later.transact(lambda tx: tx.tokens.revoke(revoked.token.id, tx.now()))
    assert get(database, revoked.token.id).revoked_at == T0, "the first revocation stays"
    assert database.transact(lambda tx: tx.tokens.revoke("unknown", tx.now())) is None
    later.dispose()


def test_the_last_use_is_written_at_most_once_a_minute(database: Database) -> None:
    made = create_token(database, "shop", {Scope.READ})
    authenticate(database, made.text)
    assert get(database, made.token.id).last_used_at == T0
    soon, later = at(database, NOTED_EVERY - SECOND), at(database, NOTED_EVERY)
    with statements(soon) as seen:
        authenticate(soon, made.text)
    assert [one for one, _ in seen if "UPDATE" in one] == []
    authenticate(later, made.text)
    assert get(database, made.token.id).last_used_at == T0 + NOTED_EVERY
    for one in (soon, later):
        one.dispose()


def test_a_token_needs_a_known_account_and_no_scope_beyond_it(database: Database) -> None:
    with pytest.raises(Refusal, match="account nobody is unknown"):
        create_token(database, "shop", {Scope.READ}, account_id="nobody")
    with pytest.raises(Refusal, match="cannot have the scope admin"):
        create_token(database, "shop", {Scope.ADMIN}, account_id="acme")
    with database.reading() as tx:
        assert tx.tokens.listed() == []


def test_a_token_that_replaces_others_ends_those_of_its_name_only(database: Database) -> None:
    first = create_token(database, "up@desk", {Scope.ADMIN}, replaces=True)
    others = [create_token(database, name, {Scope.ADMIN}) for name in ("up@desk2", "up")]
    second = create_token(database, "up@desk", {Scope.ADMIN}, replaces=True)
    assert authenticate(database, first.text) is None
    for one in (*others, second):
        assert authenticate(database, one.text) is not None
    with database.reading() as tx:
        assert len(tx.tokens.listed()) == 3
