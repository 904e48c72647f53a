"""A reader closes the pipe early: every command then ends without a complaint."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from orchestrator.cli.tree import app
from tests.cli.conftest import Cli
from tests.shares import in_turn
from tests.world import World

pytestmark = pytest.mark.slow

#: They run until they are stopped.
PROCESSES = {"up", "worker", "scheduler", "api", "demo", "simulator", "top"}
ARGUMENTS = {
    "session_id": ("a-session",),
    "account_id": ("acme",),
    "name": ("alpha",),
    "file": ("catalog.toml",),
    "account": ("--account", "acme"),
    "model": ("--model", "llama"),
    "plan": ("--plan", "payg"),
    "currency": ("--currency", "USD"),
    "amount": ("--amount", "1"),
    "reason": ("--reason", "mistyped"),
    "author": ("--author", "ops"),
    "scope": ("--scope", "read"),
    "token_id": ("0123456789abcdef",),
    "url": ("--url", "https://shop.example/hook"),
    "secret": ("--secret", "env:HOOK"),
    "out": ("--out", "no-such-folder/export.csv"),
    "period": ("--period", "day"),
}
#: Commands that have output each time.
SEEN = {"session list", "session show a-session --json", "account ledger acme", "events --follow"}
#: Import by running a few, then run each command in a fork of its own, to the end of its interpreter.
MOTHER = """
import contextlib, io, json, os, sys, tempfile
from orchestrator.cli.main import main
from orchestrator.cli.tree import app

for imports in ("session list", "doctor", "account credit acme --amount 1 --currency USD"):
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with contextlib.suppress(SystemExit), quiet[0], quiet[1]:
        app(imports.split())
results = []
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as errors:
        if not (pid := os.fork()):
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = ["orchestrator", *arguments]
            sys.exit(main())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        errors.seek(0)
        results.append([" ".join(arguments), status, errors.read()])
print(json.dumps(results))
"""


class Ended(NamedTuple):
    """The end of a command that could not write its output."""

    command: str
    code: int
    errors: str


def commands(arguments: Mapping[str, Sequence[str]] = ARGUMENTS) -> list[list[str]]:
    """Return every command of the tree, with its output for people and as JSON; and the help of every group."""
    tree = dict(_nodes(typer.main.get_command(app), ()))
    run = {path: node for path, node in tree.items() if _runs(node) and path[0] not in PROCESSES}
    plain = [[*path, *_required(node, arguments)] for path, node in run.items()]
    as_json = [
        [*path, *_required(node, arguments), "--json"] for path, node in run.items() if _has_json(node)
    ]
    helps = [[*path, "--help"] for path, node in tree.items() if _is_group(node)]
    return [*helps, *plain, *as_json, ["--version"], ["events", "--follow"]]


def _nodes(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, node
    for name, below in getattr(node, "commands", {}).items():
        yield from _nodes(below, (*path, name))


def _runs(node: Any) -> bool:
    """Whether it does something without a command behind it."""
    return not _is_group(node) or bool(node.invoke_without_command)


def _is_group(node: Any) -> bool:
    return hasattr(node, "commands")


def _required(node: Any, arguments: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for one in node.params if one.required for word in arguments[one.name]]


def _has_json(node: Any) -> bool:
    return any("--json" in one.opts for one in node.params)


@pytest.mark.timeout(600)
def test_no_command_complains_of_a_closed_pipe(
    cli: Cli, world: World, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    world.run_session("moral", session_id="a-session")
    share, turn = pytestconfig.getoption("--share"), pytestconfig.getoption("--turn")
    by_words = {" ".join(one): one for one in commands()}
    wanted = [by_words[words] for words in sorted({*in_turn(list(by_words), share, turn), *SEEN})]
    done = subprocess.run(
        [sys.executable, "-c", MOTHER],
        check=True,
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=500,
        cwd=tmp_path,  # `init` writes there
        env=os.environ | {"PYTHONUNBUFFERED": ""},
    )
    ended = [Ended(*one) for one in json.loads(done.stdout)]
    assert len(ended) == len(wanted)
    complaints = ("BrokenPipe", "Broken pipe", "Exception ignored", "Traceback")
    assert [one for one in ended if any(word in one.errors for word in complaints)] == []
    assert [one for one in ended if one.code not in {0, 1, 2, 3}] == []
    silent = {one.command for one in ended if not one.errors}
    assert {" ".join(one) for one in wanted if one[-1] == "--help"} <= silent
    assert silent >= SEEN


@pytest.mark.parametrize("command", [["session", "list"], ["session", "list", "--json"]])
def test_a_command_whose_output_finds_no_room_says_so(cli: Cli, world: World, command: list[str]) -> None:
    world.run_session("moral", session_id="a-session")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from orchestrator.cli.main import main; main()", *command],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"
