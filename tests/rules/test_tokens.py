"""What a token of the HTTP API allows, and how long."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.rules.values import ApiToken, Scope
from tests.rules.builders import MINUTE, T0


def a_token(*scopes: Scope, **changes: Any) -> ApiToken:
    """Return a token that is valid at T0."""
    names = tuple(scope.value for scope in scopes)
    plain = ApiToken(id="t1", name="shop", digest="0" * 64, scopes=names, created_at=T0 - MINUTE)
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.OPERATE, {Scope.OPERATE, Scope.READ}),
        (Scope.REVEAL, {Scope.REVEAL}),
        (Scope.ADMIN, {Scope.ADMIN, Scope.OPERATE, Scope.READ}),
    ],
)
def test_a_scope_allows_what_it_implies_and_nothing_else(scope: Scope, allowed: set[Scope]) -> None:
    assert {one for one in Scope if a_token(scope).allows(one)} == allowed


def test_a_scope_of_a_later_release_allows_nothing() -> None:
    token = a_token(scopes=("console",))
    assert not any(token.allows(scope) for scope in Scope)


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        pytest.param({}, True, id="neither revoked nor expired"),
        pytest.param({"expires_at": T0 + MINUTE}, True, id="before it expires"),
        pytest.param({"expires_at": T0}, False, id="at the instant at which it expires"),
        pytest.param({"revoked_at": T0 - MINUTE}, False, id="revoked"),
    ],
)
def test_a_token_is_valid_until_it_expires_or_is_revoked(changes: dict[str, Any], valid: bool) -> None:
    assert a_token(Scope.READ, **changes).is_valid(T0) is valid
