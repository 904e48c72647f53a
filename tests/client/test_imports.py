"""The client is light: it imports rules and words for wrong input, and Celery only when a job is sent."""

import json
import subprocess
import sys
from typing import Any

import grimp
import pytest

PACKAGES = ("orchestrator.client", "orchestrator.rules", "orchestrator.validation")
HEAVY = ["celery", "kombu", "sqlmodel", "sqlalchemy", "httpx", "aiohttp", "pydantic_settings", "structlog"]

#: What a service does before it sends: import, name the broker, build and check a request.
BEFORE_SENDING = """
import json, sys
from orchestrator.client import CreateSession, JobClient, parse, schema
client = JobClient("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0")
parse("orchestrator.session.create", {"account_id": "a", "model_id": "m"})
schema()
client.close()
print(json.dumps(sorted(sys.modules)))
"""


def run(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return json.loads(done.stdout)


def test_nothing_heavy_is_imported_before_a_job_is_sent() -> None:
    imported = run(BEFORE_SENDING)
    assert "orchestrator.client.sender" in imported
    assert [module for module in imported if module in HEAVY] == []


def test_celery_is_imported_by_the_first_job() -> None:
    sending = BEFORE_SENDING.replace(
        "client.close()",
        "try: client.send('orchestrator.session.ping', {'session_id': 's'})\nexcept Exception: pass",
    )
    assert {"celery", "kombu"} < set(run(sending))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("orchestrator", include_external_packages=True, cache_dir=None)


def test_wherever_an_import_stands_it_is_of_the_client_of_rules_or_of_its_few_libraries(
    graph: grimp.ImportGraph,
) -> None:
    libraries, others = set(), set()
    for package in PACKAGES:
        for module in graph.find_descendants(package) | {package}:
            for imported in graph.find_modules_directly_imported_by(module):
                if not imported.startswith("orchestrator."):
                    libraries.add(imported)
                elif not imported.startswith(PACKAGES):
                    others.add((module, imported))
    assert others == set()
    assert libraries - set(sys.stdlib_module_names) == {
        "celery",
        "httpx",
        "kombu",
        "pydantic",
        "pydantic_core",
        "redis",
    }
