"""What retention has archived is shown as such."""

import pytest

from orchestrator.rules.installation.retention import SessionRetention
from tests.cli.conftest import Cli
from tests.flows.test_archive import DAY, archive, ended
from tests.world import World

MODES = pytest.mark.parametrize("sessions", [SessionRetention.ARCHIVE, SessionRetention.DELETE])


@MODES
def test_an_archived_session_is_shown_and_listed(cli: Cli, world: World, sessions: SessionRetention) -> None:
    session_id = ended(world)
    before = cli("session", "show", session_id, "--json").json
    world.jump(41 * DAY)
    archived = archive(world, sessions)
    assert archived == 1

    shown = cli("session", "show", session_id, "--json").json
    assert shown["archived_at"] is not None
    assert shown.keys() == before.keys()
    if sessions is SessionRetention.ARCHIVE:
        assert shown | {"archived_at": None} == before
    text = cli("session", "show", session_id).out
    assert "archived" in text
    assert ("closed" in text) is (sessions is SessionRetention.ARCHIVE), (
        "its placements are shown where they are kept"
    )
    assert [
        one["id"] for one in cli("session", "list", "--archived", "--account", "acme", "--json").json
    ] == [session_id]
    assert session_id in cli("session", "list", "--archived", "--account", "acme").out
    assert cli("session", "list", "--json").json == []


def test_what_cannot_be_said_of_an_archived_session_is_refused(cli: Cli, world: World) -> None:
    session_id = ended(world)
    world.jump(41 * DAY)
    archive(world)
    for command in ("explain", "endpoint"):
        said = cli("session", command, session_id)
        assert said.code == 1
        assert "was archived at" in said.err
    assert cli("session", "list", "--archived").code == 2


def test_the_ledger_shows_where_its_balances_begin(cli: Cli, world: World) -> None:
    ended(world)
    world.jump(41 * DAY)
    archive(world)
    opening, credit = cli("account", "ledger", "acme", "--json").json
    assert (opening["kind"], opening["balance"], opening["note"]) == (
        "opening",
        "99.80",
        "archived entries: 1",
    )
    assert credit["balance"] is None
    assert "archived" in cli("account", "ledger", "acme").out
    assert cli("account", "ledger", "acme", "--csv").code == 0
