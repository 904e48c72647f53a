"""The help of every command says all that its author wrote, on lines that are broken where they end."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from orchestrator.cli.shared.plain_values import read_plainly
from orchestrator.cli.tree import app


def commands(found: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yield each command below this one, with its words."""
    for name in getattr(found, "commands", {}):
        below = found.commands[name]
        yield " ".join((*path, name)), below
        yield from commands(below, *path, name)


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL)
def test_no_text_has_brackets_which_rich_takes_for_markup(words: str) -> None:
    texts = [ALL[words].help or "", *(getattr(option, "help", None) or "" for option in ALL[words].params)]
    assert [text for text in texts if re.search(r"(?<!\\)\[", text)] == []


@pytest.mark.parametrize("words", ALL)
def test_no_paragraph_is_broken_where_its_source_is(words: str) -> None:
    paragraphs = (ALL[words].help or "").split("\n\n")
    assert [text for text in paragraphs if "\n" in text] == []


def test_commands_of_every_depth_are_among_them() -> None:
    assert {"up", "session", "session list", "webhook replay", "costs export"} <= ALL.keys()


def test_parameters_of_another_release_of_typer_read_their_values_themselves() -> None:
    parameter = SimpleNamespace(name="--limit")
    command = SimpleNamespace(get_params=lambda _ctx: [parameter])
    read_plainly(command)
    assert command.get_params(None) == [parameter]
    assert vars(parameter) == {"name": "--limit"}
