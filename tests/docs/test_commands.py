"""The commands of the documentation, on the platform that docs/install/laptop.md starts.

A block marked `run` is a script; blocks of a page share a shell. Of one marked `run: each`, every line is run alone: it
may be refused, or find nothing, and must be a command that there is, with options that there are."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes.test_api import free_port
from tests.shares import in_turn
from tests.tools.commands import EACH, SCRIPT, ShellBlock, shell_blocks
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FIRST = "docs/install/laptop.md"
#: Seconds for a script or all commands, on a machine that does much else.
WAIT_LIMIT = 600.0
#: What stands for a name of the reader's.
PLACEHOLDERS = {"NAME": "endpoint", "WHY": "tested"}
#: What a command that there is may answer: done, refused or found wrong, not found.
ALLOWED = {0, 1, 3}
#: Import what commands need once, and run each in a fork, to the end of its interpreter.
MOTHER = """
import json, os, sys, tempfile
import celery, sqlmodel, orchestrator.client, orchestrator.wiring
from orchestrator.cli.main import main
from orchestrator.cli.tree import app

results = []
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as output:
        if not (pid := os.fork()):
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = ["orchestrator", *arguments]
            sys.exit(main())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        errors.seek(0)
        results.append([code, errors.read()])
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Reader:
    """A person with a shell who follows the pages."""

    home: Path
    ports: dict[str, str]
    env: dict[str, str]

    @property
    def place(self) -> Path:
        """Return the folder that the first page makes."""
        return self.home / "my-platform"

    def run(self, blocks: Sequence[ShellBlock], directory: Path) -> None:
        """Run these blocks as one script. It may leave processes in the background."""
        script = self._here("".join(block.text for block in blocks))
        with (self.home / "said.log").open("ab") as output:
            done = subprocess.run(
                ["bash", "-euc", script],
                check=False,
                cwd=directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=WAIT_LIMIT,
            )
        said = (self.home / "said.log").read_text()
        assert done.returncode == 0, f"{blocks[0].where}: {said[-3000:]}"

    def run_each(self, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
        """Return the exit code and the errors of each command."""
        done = subprocess.run(
            [sys.executable, "-c", MOTHER],
            check=True,
            cwd=self.place,
            env=self.env | dict(_variables(self.place / "env")) | {"PYTHONUNBUFFERED": ""},
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=WAIT_LIMIT,
        )
        return [(code, errors) for code, errors in json.loads(done.stdout)]

    def sessions(self) -> list[dict[str, str]]:
        """Return the sessions that live."""
        command = ["orchestrator", "session", "list", "--json"]
        env = self.env | dict(_variables(self.place / "env"))
        said = subprocess.run(command, check=True, cwd=self.place, env=env, capture_output=True, text=True)
        return list(json.loads(said.stdout))

    def _here(self, script: str) -> str:
        """Use ports that are free, in what the script types and in what `init` writes."""
        edits = "".join(
            f"sed -i s/{usual}/{free}/ env orchestrator.toml\n" for usual, free in self.ports.items()
        )
        for usual, free in self.ports.items():
            script = script.replace(usual, free)
        return script.replace("cd my-platform\n", f"cd my-platform\n{edits}")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Follow the first page up to a platform that runs; end it when all tests are over."""
    home = tmp_path_factory.mktemp("d")
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HOME": str(home),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }
    person = Reader(home, {"8900": str(free_port()), "8800": str(free_port())}, env)
    try:
        person.run(blocks_of(FIRST), home)
        yield person
    finally:
        for pid in _started_in(home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        eventually(lambda: not _started_in(home), "everything has ended")


def blocks_of(page: str, mark: str = SCRIPT) -> list[ShellBlock]:
    return [
        block for block in shell_blocks() if str(block.where).startswith(f"{page}:") and block.mark == mark
    ]


def test_the_first_page_leads_to_a_session_that_ran_and_was_closed(reader: Reader) -> None:
    said = (reader.home / "said.log").read_text()
    assert "running" in said
    assert re.search("stopping|stopped", said)


def test_every_command_that_is_marked_so_is_one_that_there_is(
    reader: Reader, pytestconfig: pytest.Config
) -> None:
    share, turn = pytestconfig.getoption("--share"), pytestconfig.getoption("--turn")
    blocks = [block for block in shell_blocks() if block.mark == EACH]
    lines = {f"{block.where}: {line}": line for block in blocks for line in _lines(block.text)}
    assert len(lines) > 30
    wanted = list(in_turn(list(lines), share, turn))
    [session_id] = [one["id"] for one in reader.sessions()]
    names = PLACEHOLDERS | {"ID": session_id}
    results = reader.run_each([_words(lines[place], names) for place in wanted])
    wrong = [
        f"{place} exits with {code}: {errors[-300:]}"
        for place, (code, errors) in zip(wanted, results, strict=True)
        if code not in ALLOWED or "Traceback" in errors
    ]
    assert wrong == []


def test_the_other_scripts_run(reader: Reader) -> None:
    pages = dict.fromkeys(block.where.partition(":")[0] for block in shell_blocks() if block.mark == SCRIPT)
    others = [page for page in pages if page != FIRST]
    assert others
    for page in others:
        reader.run(blocks_of(page), reader.place)


def _lines(text: str) -> list[str]:
    """Return the commands, without comments; one may go over several lines."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]


def _words(line: str, names: dict[str, str]) -> list[str]:
    """Return the arguments of this command; what is in brackets may be left out, and is put in."""
    program, *words = shlex.split(line, comments=True)
    assert program == "orchestrator", f"`{line}` is no command of ours: mark its block `run`"
    return [names.get(word.strip("[]"), word.strip("[]")) for word in words]


def _variables(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        name, found, value = line.partition("=")
        if found and not line.startswith("#"):
            yield name, value.strip('"')


def _started_in(home: Path) -> list[int]:
    """Return processes that work in this folder, but for pytest's own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if Path(os.readlink(path / "cwd")).is_relative_to(home):
                found.append(int(path.name))
    return found
