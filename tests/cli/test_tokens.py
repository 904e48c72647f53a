"""`orchestrator token …`."""

import pytest

from orchestrator.flows.operations.tokens import authenticate
from tests.cli.conftest import Cli
from tests.world import World


def test_a_token_is_shown_once_and_works_until_it_is_revoked(cli: Cli, world: World) -> None:
    database = world.services.database
    made = cli("token", "create", "--scope", "operate", "--name", "shop", "--account", "acme")
    assert made.code == 0
    text = made.out.strip()
    assert authenticate(database, text) is not None
    [listed] = cli("token", "list", "--json").json
    assert (listed["name"], listed["scopes"], listed["account_id"]) == ("shop", ["operate"], "acme")
    assert listed["expires_at"] is None
    for shown in (cli("token", "list").out, cli("token", "list", "--json").out, made.err):
        assert text.split("_", 2)[2] not in shown
    assert cli("token", "revoke", listed["id"]).out == f"{listed['id']} is revoked\n"
    assert authenticate(database, text) is None
    assert "revoked" in cli("token", "list").out


def test_several_scopes_and_an_expiry(cli: Cli, world: World) -> None:
    said = cli("token", "create", "--scope", "read", "--scope", "reveal", "--expires", "90d", "--json").json
    assert said["scopes"] == ["read", "reveal"]
    assert said["token"].startswith("orch_")
    assert said["expires_at"] > said["created_at"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("create",), 2, "Missing option '--scope'"),
        (("create", "--scope", "root"), 2, "'root' is not one of"),
        (
            ("create", "--scope", "read", "--expires", "soon"),
            2,
            "must be a duration such as 90s, 15m, 1h30m",
        ),
        (("create", "--scope", "read", "--name", "a\nb"), 2, "--name: must be one line"),
        (("create", "--scope", "read", "--name", "x" * 101), 2, "--name: has more than 100 characters"),
        (("create", "--scope", "read", "--account", "nobody"), 3, "error unknown_account"),
        (("create", "--scope", "admin", "--account", "acme"), 1, "cannot have the scope admin"),
        (("revoke", "nothing"), 3, "no token has this id: nothing; `orchestrator token list` has all"),
    ],
)
def test_what_cannot_be_done_is_said(
    cli: Cli, world: World, arguments: tuple[str, ...], code: int, message: str
) -> None:
    said = cli("token", *arguments)
    assert (said.code, message in said.err) == (code, True), said.err
