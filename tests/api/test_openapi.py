"""The OpenAPI document is what is checked in, says everything, and is true: schemathesis calls every route with
requests of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from orchestrator.rules.values import Scope
from tests.api.stage import Api
from tests.tools.openapi import PAGE, text
from tests.world import World

DOCUMENT = json.loads(PAGE.read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
#: Requests of each route.
EXAMPLES = 6
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


def test_the_document_is_what_is_checked_in() -> None:
    assert text() == PAGE.read_text(), "run `python -m tests.tools.openapi`, and check the difference in"


def operations() -> list[Any]:
    """Return every operation below /v1, with where it is."""
    return [
        pytest.param(path, operation, id=f"{method} {path}")
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1")
    ]


@pytest.mark.parametrize(("path", "operation"), operations())
def test_every_operation_says_what_it_does_needs_takes_and_refuses(path: str, operation: Any) -> None:
    assert operation["operationId"]
    assert operation["description"].endswith((".", "404"))
    [security] = operation["security"]
    assert Scope(security["token"][0])
    assert {"401", "403", "422", "429", "503"} <= operation["responses"].keys()
    assert (
        "404" in operation["responses"]
        or "{" not in path
        or operation["operationId"] in {"put_model", "put_webhook"}
    )
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            [problem] = response["content"].values()
            assert problem["example"]["status"] == int(status)
        else:
            assert response["description"]
            assert "application/json" in response["content"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]["application/json"]["example"]


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for reference in _references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for below in value.values():
            yield from _references(below)
    elif isinstance(value, list):
        for below in value:
            yield from _references(below)


@pytest.fixture(scope="module")
def served(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve the API over a world with something of each kind."""
    path = tmp_path_factory.mktemp("api") / "orchestrator.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    with World(f"sqlite:///{path}") as world, Api(world) as api:
        world.run_session("moral", session_id="running")
        api.create(session_id="created", start=False)
        api.create(session_id="queued", on_quota="queue", model_id="pair", nodes=2)
        api.post("/sessions/running/ping", key="a-key")
        yield api


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing_undeclared(case: Any, served: Api) -> None:
    if case.query and "timeout" in case.query:
        case.query["timeout"] = "0.01"
    response = case.call(
        base_url=served.url, headers={"Authorization": str(served.operator.headers["authorization"])}
    )
    case.validate_response(response, checks=CHECKS)
