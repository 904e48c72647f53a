"""An upgrade replaces the files of the package under processes that run. They continue with the code that they have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from tests.installed import outside

QUERIES = Path(orchestrator.__file__).parent / "store" / "queries"
TEMPLATES = Path(orchestrator.__file__).parent / "console" / "templates"
#: Start a process up to where it would begin its work, and say what it has read by then.
BEGIN = """
import json, sys, types
from orchestrator.api import serving
from orchestrator.console import pages, site
from orchestrator.processes import run

def begins(*_):
    site.create_site(None)
    read = [key[1] for key in pages._templates.cache.keys()]
    print(json.dumps([sorted(name for name in sys.modules if name.startswith("orchestrator.")), read]))
    return 0

serving.serve = begins
sys.modules["orchestrator.tasks.run_pool"] = types.SimpleNamespace(run_pool=begins)
sys.exit(run.run_worker("ping") if sys.argv[1] == "pool" else run.run_api())
"""


@pytest.mark.parametrize("process", ["api", "pool"])
def test_a_process_has_read_what_it_needs_before_it_begins(
    tmp_path: Path, sqlite_url: str, process: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, process],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        env=outside() | {"ORCHESTRATOR_DATABASE_URL": sqlite_url, "PYTHONPATH": str(QUERIES.parents[2])},
        text=True,
    )
    imported, read = json.loads(done.stdout)
    wanted = {f"orchestrator.store.queries.{path.stem}" for path in QUERIES.glob("[a-z]*.py")}
    assert len(wanted) > 30
    assert wanted - {*imported} == set()
    assert {path.name for path in TEMPLATES.iterdir()} == {*read}
