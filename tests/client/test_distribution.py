"""The client as a distribution of its own: installed without the worker, it is small and sends jobs."""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator import __version__
from tests.installed import ROOT, Installed, built, install, run

pytestmark = pytest.mark.slow

CLIENT = ROOT / "deploy" / "client"
#: Bytes of all files that are installed, dependencies included.
LARGEST = 25_000_000

#: A service, which has only the client.
SERVICE = """
import json, sys
from orchestrator.client import JobClient, PingSession
before = "celery" in sys.modules
with JobClient(sys.argv[1], sys.argv[1]) as jobs:
    outcome = jobs.call("orchestrator.session.ping", PingSession(session_id="s"), timeout=20)
print(json.dumps({"outcome": outcome, "before": before, "after": "celery" in sys.modules, "path": sys.path}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    directory = tmp_path_factory.mktemp("client")
    return install(f"session-orchestrator-client @ {built(CLIENT, directory).as_uri()}", directory)


def test_it_is_small_and_brings_no_part_of_the_worker(installed: Installed) -> None:
    place = installed.site_packages
    files = [path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < LARGEST
    distributions = {path.name.partition("-")[0].lower() for path in place.glob("*.dist-info")}
    assert {"celery", "kombu", "pydantic", "redis", "session_orchestrator_client"} <= distributions
    assert distributions.isdisjoint(
        {"sqlmodel", "sqlalchemy", "alembic", "aiohttp", "fastapi", "typer", "rich"}
    )
    parts = {path.name for path in (place / "orchestrator").iterdir()} - {"__pycache__"}
    assert parts == {"__init__.py", "py.typed", "client", "rules", "validation"}
    [metadata] = place.glob("session_orchestrator_client-*.dist-info")
    assert (metadata / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
def test_it_sends_a_job_and_reads_its_outcome(
    installed: Installed, url: str, worker: Celery, tmp_path: Path
) -> None:
    said = json.loads(run(installed.bin / "python", "-c", SERVICE, url, cwd=tmp_path))
    assert said["outcome"] == {"ok": True, "result": {"session_id": "s"}}
    assert (said["before"], said["after"]) == (False, True)
    assert not [path for path in said["path"] if path.startswith((str(ROOT), sys.prefix))]


def test_its_version_and_dependencies_are_those_of_the_worker() -> None:
    worker, client = project(ROOT / "pyproject.toml"), project(CLIENT / "pyproject.toml")
    assert client["version"] == __version__
    for same in ("license", "requires-python"):
        assert client[same] == worker[same]
    assert set(client["dependencies"]) <= set(worker["dependencies"])


def project(path: Path) -> Mapping[str, Any]:
    read: Mapping[str, Any] = tomllib.loads(path.read_text())["project"]
    return read
