"""Wherever a command takes an id, it takes its beginning and its name too, and a shell completes it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.cli.shared.known import (
    ACCOUNT,
    CLOSEABLE,
    MODEL,
    PROVIDER,
    SESSION,
    SUBJECT,
    offered,
    resolved,
)
from orchestrator.cli.tree import app
from tests.cli.conftest import Cli
from tests.world import World

#: What a parameter is called that names something.
NAMING = {
    *("session_id", "account_id", "model_id", "token_id", "message_ids", "ids", "name"),
    *("account", "model", "provider", "subject", "owner", "webhook", "token"),
}
#: They name something new, or nothing that is stored.
NEW = {
    *(("session create", name) for name in ("session_id", "name")),
    ("account put", "account_id"),
    ("model put", "model_id"),
    ("webhook put", "name"),
    ("token create", "name"),
}


def parameters() -> Iterator[tuple[str, Any]]:
    """Yield every parameter of every command."""
    for words, command in _commands(typer.main.get_command(app), ""):
        yield from ((words, one) for one in command.params)


def _commands(node: Any, words: str) -> Iterator[tuple[str, Any]]:
    below = getattr(node, "commands", None)
    if below is None:
        yield words, node
        return
    for name in below:
        yield from _commands(below[name], f"{words} {name}".strip())


def test_every_parameter_that_names_something_finds_what_is_meant_and_completes_it() -> None:
    naming = [
        (words, one) for words, one in parameters() if one.name in NAMING and (words, one.name) not in NEW
    ]
    assert {"session show", "account ledger", "session list", "messages drop"} <= {
        words for words, _ in naming
    }
    bare = [f"{words} {one.name}" for words, one in naming if not hasattr(one.callback, "kinds")]
    assert bare == [], "give them `**known(KIND)`"
    silent = [f"{words} {one.name}" for words, one in naming if one._custom_shell_complete is None]
    assert silent == []


FIRST, SECOND = "0c8b6a3e-2f8e-4a57-9d3f-000000000001", "0c8b6a3e-2f8e-4a57-9d3f-000000000002"


@pytest.fixture
def sessions(cli: Cli, world: World) -> World:
    world.create_session(start=False, session_id=FIRST, name="first")
    world.create_session(start=False, session_id=SECOND, name="second")
    world.create_session(start=False, session_id="mine", name="0c8b6a3e")
    world.open_account("acme-2")
    world.create_session(start=False, session_id="theirs", name="first", account_id="acme-2")
    return world


def test_a_row_is_found_by_id_by_name_and_by_beginning(cli: Cli, sessions: World) -> None:
    for typed, meant in (
        ("second", SECOND),
        (SECOND, SECOND),
        (SECOND[:-1] + "2", SECOND),
        ("mi", "mine"),
        ("min…", "mine"),
        ("0c8b6a3e", "mine"),
        ("acme-2", "acme-2"),
        ("nothing", "nothing"),
    ):
        assert resolved(SESSION, typed) == (meant if meant != "acme-2" else typed)
    assert resolved(ACCOUNT, "acme") == "acme", "a whole id is meant, though another begins with it"
    assert resolved(ACCOUNT, "acme-") == "acme-2"
    assert resolved(MODEL, "mor") == "moral"
    assert resolved(PROVIDER, "al") == "alpha"
    assert [resolved(SUBJECT, typed) for typed in ("morp", "mi", "acme")] == ["morph", "mine", "acme"]
    assert cli("session", "show", "mi", "--json").json["id"] == "mine"


def test_what_several_may_be_is_refused_with_the_candidates(cli: Cli, sessions: World) -> None:
    said = cli("session", "show", "0c8b", "--json")
    assert (said.code, said.out) == (2, "")
    error = json.loads(said.err)
    assert (error["code"], error["details"]) == ("ambiguous", {"candidates": [FIRST, SECOND]})
    people = cli("session", "show", "first").err
    assert people.startswith("error ambiguous: first matches several sessions: ")
    assert f"{FIRST} (first)" in people
    assert "theirs (first)" in people
    assert people.endswith("Type more of the id\n")


def test_an_orphan_and_a_deleted_session_are_found_last(cli: Cli, sessions: World) -> None:
    sessions.done("session.delete", session_id=SECOND)
    assert resolved(SESSION, "0c8b6a3e-") == FIRST, "what is not deleted comes first"
    assert resolved(SESSION, SECOND) == SECOND
    assert resolved(CLOSEABLE, "second") == SECOND
    assert cli("session", "show", "0c8b6a3e-").code == 0


def test_what_cannot_be_looked_up_stays_as_typed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path}/absent.db")
    assert resolved(SESSION, "mi") == "mi"
    assert list(offered(ACCOUNT, "")) == []
    assert list(offered(PROVIDER, "")) == [("alpha", "provider"), ("morph", "provider")]
    assert "does not exist" in cli("session", "list", "--account", "acme").err


def test_a_shell_is_offered_ids_and_names(sessions: World) -> None:
    assert list(offered(SESSION, "0c8b6a3e-")) == [(FIRST, "first"), (SECOND, "second")]
    assert list(offered(SESSION, "sec")) == [("second", SECOND)]
    assert [value for value, _ in offered(ACCOUNT, "ac")] == ["acme", "acme-2"]
    assert [value for value, _ in offered(MODEL, "m")] == ["moral"]
    assert [value for value, _ in offered(SUBJECT, "a")] == ["acme", "acme-2", "alpha"]


@pytest.mark.parametrize(
    "name",
    [r"odd\$(id)", "odd `id`", 'odd" name', "odd'", "odd;id", "odd>f", "odd!", "odd*", "odd|x", "odd&"],
)
def test_a_shell_is_offered_nothing_that_it_would_carry_out(world: World, cli: Cli, name: str) -> None:
    world.done(
        "session.create", account_id="acme", model_id="llama", name=name, session_id="mine", start=False
    )
    assert list(offered(SESSION, "mi")) == [("mine", "session")]
    assert list(offered(SESSION, "odd")) == []
    assert resolved(SESSION, name) == "mine"


def test_a_shell_completes_an_argument_and_an_option(sessions: World) -> None:
    for words, expected in (
        ("orchestrator session show 0c8b6a3e-", {FIRST, SECOND}),
        ("orchestrator session list --account ac", {"acme", "acme-2"}),
        ("orchestrator provider check m", {"morph"}),
        ("orchestrator session list --state li", {"live"}),
    ):
        env = {
            "_ORCHESTRATOR_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        completed = CliRunner().invoke(app, [], prog_name="orchestrator", env=env)
        assert set(completed.output.split()) == expected


@pytest.mark.parametrize("words", ["", "session", "session list", "doctor", "top", "account ledger"])
def test_every_command_answers_a_short_question_for_help(words: str) -> None:
    said = CliRunner().invoke(app, [*words.split(), "-h"], prog_name="orchestrator")
    assert (said.exit_code, "Usage: orchestrator" in said.output) == (0, True)
