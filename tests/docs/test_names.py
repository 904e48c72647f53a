"""Each class has a unique name, so that a name in a traceback, a log line or a review means one thing."""

import ast
from collections import defaultdict
from pathlib import Path

import orchestrator

ROOT = Path(orchestrator.__file__).parent
#: The simulator shares no code with the rest, and has the same subjects.
APART = ROOT / "simulator"


def test_each_class_name_is_used_once() -> None:
    places = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        if APART not in path.parents:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
