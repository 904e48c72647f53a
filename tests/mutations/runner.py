"""Break a copy of the tree in one place, run the suite that must find it, say whether it did.

python -m tests.mutations            # every defect; exit code 1 if one is not found
python -m tests.mutations NAME …     # some of them
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutations.defects import Defect, Edit

ROOT = Path(__file__).resolve().parents[2]
#: What a suite needs of the tree.
COPIED = ("orchestrator", "tests", "deploy", "docs", "pyproject.toml", "README.md")
#: Nobody waits longer for a suite. Seconds.
PATIENCE = 900.0
#: The exit code of a suite that found something; any other says that it could not run, or found nothing.
FOUND = 1
#: How a suite's lines begin that tell what it found.
_TELLS = ("FAILED ", "  BROKEN ")


class Misplaced(Exception):
    """A defect does not fit the code any more: its text is not there exactly once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one defect."""

    defect: Defect
    found: bool
    seconds: float
    said: str


def check(defects: Sequence[Defect], console: Console) -> bool:
    """Try each; print a table; True where every one is found."""
    outcomes = []
    for defect in defects:
        console.print(f"[dim]{defect.name}: {defect.what}[/dim]")
        outcomes.append(_try(defect))
        if not outcomes[-1].found:
            console.print(outcomes[-1].said, markup=False, highlight=False)
    console.print(_table(outcomes))
    return all(outcome.found for outcome in outcomes)


def apply(edit: Edit, tree: Path) -> None:
    """Replace the text. Raises Misplaced."""
    path = tree / edit.file
    text = path.read_text()
    if text.count(edit.sound) != 1:
        raise Misplaced(f"{edit.file}: the text occurs {text.count(edit.sound)} times: {edit.sound!r}")
    path.write_text(text.replace(edit.sound, edit.broken))


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A copy that may be broken, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        tree = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / part)
        yield tree


def run(tree: Path, suite: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a suite on that tree, pytest until its first failure."""
    module, *arguments = suite
    quickly = ["-x", "-q", "-p", "no:cacheprovider"] if module == "pytest" else []
    env = dict(os.environ) | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", module, *quickly, *arguments],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _try(defect: Defect) -> Outcome:
    with copy_of_the_tree() as tree:
        for edit in defect.edits:
            apply(edit, tree)
        began = time.monotonic()
        done = run(tree, defect.found_by)
    return Outcome(
        defect=defect,
        found=done.returncode == FOUND and bool(_first_failure(done.stdout)),
        seconds=time.monotonic() - began,
        said=_first_failure(done.stdout) or done.stdout[-2000:] + done.stderr[-2000:],
    )


def _first_failure(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(_TELLS)]
    return lines[0].strip().partition(" ")[2] if lines else ""


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("defect", "found", "seconds", "by", title="Deliberate defects")
    for outcome in outcomes:
        found = "[green]yes[/green]" if outcome.found else "[red]NO[/red]"
        table.add_row(outcome.defect.name, found, f"{outcome.seconds:.0f}", outcome.said[:90])
    return table
