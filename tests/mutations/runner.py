"""Break a copy of the tree in one place, run the suite that must find it, say whether it did.

python -m tests.mutations            # every defect; exit code 1 if one is not found
python -m tests.mutations NAME …     # some of them
python -m tests.mutations --jobs 4   # this many at a time, each in a copy of its own
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutations.finder import Misplaced, apply
from tests.mutations.kinds import Defect

ROOT = Path(__file__).resolve().parents[2]
#: The part of the tree that a suite needs.
COPIED = ("orchestrator", "tests", "deploy", "docs", "pyproject.toml", "README.md")
#: The limit of a suite's time. Seconds.
WAIT_LIMIT = 900.0
#: Prefixes of the lines with a suite's findings.
_TELLS = ("FAILED ", "  BROKEN ")
#: Errors of code that does not fit together any more: they are not the defect.
_ACCIDENTS = ("AttributeError", "TypeError", "NameError", "ImportError", "SyntaxError")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one defect."""

    defect: Defect
    found: bool
    seconds: float
    said: str


def check(defects: Sequence[Defect], console: Console, jobs: int = 1) -> bool:
    """Try each, `jobs` at a time; print a table; return True if every one is found."""
    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(_try, defects):
            outcomes.append(outcome)
            console.print(f"[dim]{outcome.defect.name}: {outcome.defect.what}[/dim]")
            if not outcome.found:
                console.print(outcome.said, markup=False, highlight=False)
    console.print(_table(outcomes))
    return all(outcome.found for outcome in outcomes)


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Return a copy that may be broken, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        tree = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / part)
        yield tree


def run(tree: Path, suite: Sequence[str], wanted: Callable[[str], bool]) -> tuple[str, str]:
    """Run a suite on that tree until it says a line that is wanted: that line, else none; and all that it said."""
    module, *arguments = suite
    quickly = ["-q", "-p", "no:cacheprovider"] if module == "pytest" else []
    env = dict(os.environ) | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "250"}
    command = [sys.executable, "-m", module, *quickly, *arguments]
    said: list[str] = []
    with subprocess.Popen(
        command,
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as suite_process:
        late = threading.Timer(WAIT_LIMIT, _end, [suite_process])
        late.start()
        try:
            for line in suite_process.stdout or ():
                said.append(line)
                if wanted(line):
                    return line, "".join(said)
        finally:
            late.cancel()
            _end(suite_process)
    return "", "".join(said)


def _end(suite: "subprocess.Popen[str]") -> None:
    """End it and all the processes that it started: they are a group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(suite.pid, signal.SIGKILL)


def _try(defect: Defect) -> Outcome:
    began = time.monotonic()
    try:
        line, said = _run_broken(defect)
    except Misplaced as error:
        line, said = "", f"{error}\n"
    return Outcome(
        defect=defect,
        found=bool(line),
        seconds=time.monotonic() - began,
        said=line.strip().partition(" ")[2] or said[-4000:],
    )


def _run_broken(defect: Defect) -> tuple[str, str]:
    with copy_of_the_tree() as tree:
        for edit in defect.edits:
            apply(edit, tree)
        return run(tree, defect.found_by, partial(finds, defect))


def finds(defect: Defect, line: str) -> bool:
    """Return whether this line of a suite reports the defect; another failure proves nothing."""
    accident = any(word in line for word in _ACCIDENTS)
    return line.startswith(_TELLS) and defect.found_as in line and not accident


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("defect", "found", "seconds", "by", title="Deliberate defects")
    for outcome in outcomes:
        found = "[green]yes[/green]" if outcome.found else "[red]NO[/red]"
        table.add_row(outcome.defect.name, found, f"{outcome.seconds:.0f}", outcome.said[:90])
    return table
