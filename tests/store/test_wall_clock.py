"""The wall clock is read by the store alone, and for display and stamps: intervals and deadlines are measured."""

import ast
from collections.abc import Iterator
from pathlib import Path

import orchestrator

ROOT = Path(orchestrator.__file__).parent
#: Other places that read it, and what for.
ALLOWED = {
    "store/queries/clock.py": "for SQLite it is the store's own clock, compared with a measuring one",
    "providers/http/client.py": "to measure how far a platform's Date header is off",
    "providers/drivers/fpt/attach.py": "where a driver is asked by hand, without the store's time",
    "settings/secrets.py": "to compare with the times of files, which this machine writes",
    "scheduler.py": "given to the steady scheduler",
    "tasks/steady.py": "to notice that it jumped, and continue at the measured pace",
    "tasks/liveness.py": "to publish how far the clock of this machine is off",
    "tasks/visibility.py": "to turn the wall clock, by which kombu measures, into that of the broker",
    "tasks/intake.py": "what a message says about its own expiry",
    "tasks/parking.py": "a stamp, until the store's clock says when",
    "cli/views/session_tables.py": "ages in a table",
    "cli/views/leftover_tables.py": "ages in a table",
    "cli/views/account_tables.py": "ages in a table",
    "cli/demo/scenes.py": "the demo's story",
    "cli/demo/checks.py": "the demo's story",
}
CALLS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
}


def _readers() -> Iterator[str]:
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("simulator/"):  # it simulates other hosts, with clocks of their own
            continue
        yield from (name for node in ast.walk(ast.parse(path.read_text())) if _reads(node))


def _reads(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return False
    return (node.value.id, node.attr) in CALLS


def test_no_other_file_reads_the_wall_clock() -> None:
    assert set(_readers()) == set(ALLOWED)
