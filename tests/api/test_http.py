"""Corner cases of HTTP: methods, HEAD, bodies that are no JSON, misspelt parameters, a database that others lock."""

import gzip
import json
import logging
import re
import socket
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import text

from orchestrator.api.app import document
from orchestrator.api.bodies import MOST_BYTES
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.api.stage import Api, answered
from tests.world import World

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/sessions", "GET, POST, HEAD"),
        ("OPTIONS", "/sessions/x", "GET, DELETE, HEAD"),
        ("DELETE", "/accounts/acme", "GET, PUT, HEAD"),
        ("GET", "/sessions/x/close", "POST"),
        ("POST", "/alarms", "GET, HEAD"),
    ],
)
def test_another_method_is_answered_with_those_that_are_allowed(
    api: Api, method: str, path: str, allowed: str
) -> None:
    response = api.operator.request(method, path)
    assert answered(response, 405)["code"] == "method_not_allowed"
    assert response.headers["allow"] == allowed


def test_head_is_get_without_the_body(api: Api) -> None:
    session_id = api.create()
    for path in ("/sessions", f"/sessions/{session_id}", "/accounts/acme", "/accounts/none", "/nowhere"):
        got, head = api.operator.get(path), api.operator.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "content-length", "etag"):
            assert head.headers.get(name) == got.headers.get(name)
    with httpx.Client(base_url=api.url, trust_env=False) as anyone:
        assert anyone.head("/healthz").status_code == anyone.head("/readyz").status_code == 200
        assert anyone.head("/v1/sessions").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/sessions:close", {"where": "name=\x00"}),
        ("PUT", "/webhooks/shop", {"url": "https://example.com/\x00", "secrets": ["env:HOOK"]}),
        (
            "PUT",
            "/webhooks/shop",
            {"url": "https://example.com/", "secrets": ["env:HOOK"], "events": ["orchestrator.\x00"]},
        ),
    ],
)
def test_what_no_database_keeps_is_a_fault_of_the_request(
    any_api: Api, method: str, path: str, body: object
) -> None:
    assert answered(any_api.operator.request(method, path, json=body), 422)["code"] == "invalid_request"


def test_two_keys_are_refused(api: Api) -> None:
    draft = {"account_id": "acme", "model_id": "llama", "start": False}
    keys = [("Idempotency-Key", "order-1"), ("Idempotency-Key", "order-2")]
    refused = answered(api.operator.post("/sessions", json=draft, headers=keys), 422)
    assert refused["faults"][0]["loc"] == "Idempotency-Key"
    assert api.get("/sessions")["items"] == []


@pytest.mark.parametrize(
    ("name", "lines", "status"),
    [
        ("If-None-Match", ('"other"', "*"), 412),
        ("If-None-Match", ('"other"', '"another"'), 200),
        ("If-Match", ('"other"', '"another"'), 412),
        ("If-Match", ("",), 412),
        ("If-Match", ('"other"', "ETAG"), 200),
    ],
)
def test_a_condition_may_be_sent_in_several_lines(
    api: Api, name: str, lines: tuple[str, ...], status: int
) -> None:
    version = api.operator.get("/accounts/acme").headers["etag"]
    headers = [(name, version if line == "ETAG" else line) for line in lines]
    put = api.operator.put("/accounts/acme", json={"plan": "payg", "currency": "USD"}, headers=headers)
    answered(put, status)


def test_what_scrapes_the_api_reads_where_metrics_are(api: Api) -> None:
    with httpx.Client(base_url=api.url, trust_env=False) as anyone:
        assert "ORCHESTRATOR_METRICS_PORT" in answered(anyone.get("/metrics"), 404)["detail"]


def test_head_of_a_stream_ends_with_its_headers(api: Api) -> None:
    head = api.operator.head("/events", headers={"Accept": "text/event-stream"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    api.create()
    assert api.process.feed._listeners == 0, "nothing listens any more"


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"account_id": }', 400, "the body is not JSON: line 1, column 16: Expecting value"),
        (b'{"a": 1,\n "b" 2}', 400, "the body is not JSON: line 2, column 6: "),
        (b'{"name": "\xff"}', 400, "the body is not JSON: it is not UTF-8 text (byte 10)"),
        (b"[" * 200_000, 400, "the body is nested too deeply"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, "the body is nested too deeply"),
        (b'{"nodes": ' + b"9" * 5_000 + b"}", 400, "the body has a number with too many digits"),
        (
            b'{"account_id": "acme", "model_id": "llama", "metadata": {"x": NaN}}',
            422,
            "metadata.x: must be a finite",
        ),
        (
            b'{"account_id": "acme", "model_id": "llama", "stop": {"max_cost": Infinity}}',
            422,
            "stop.max_cost: ",
        ),
        (
            b'{"account_id": "acme", "model_id": "llama", "metadata": {"x": 1e999}}',
            422,
            "metadata.x: must be a finite",
        ),
        (
            b'{"account_id": "acme", "model_id": "llama", "metadata": ' + b'{"a":' * 90 + b"1" + b"}" * 91,
            422,
            "is nested more than 32 deep",
        ),
    ],
)
def test_a_body_that_is_no_request_says_why(api: Api, body: bytes, status: int, expected: str) -> None:
    problem = answered(api.operator.post("/sessions", content=body, headers=JSON), status)
    assert expected in problem["detail"]
    assert api.get("/sessions")["items"] == []


def test_an_encoded_body_is_refused_as_such(api: Api) -> None:
    body = gzip.compress(json.dumps({"account_id": "acme", "model_id": "llama"}).encode())
    refused = api.operator.post("/sessions", content=body, headers=JSON | {"Content-Encoding": "gzip"})
    assert answered(refused, 415)["code"] == "unsupported_media_type"
    assert api.get("/sessions")["items"] == []


def operations_without_a_body() -> list[tuple[str, str]]:
    """Return (method, path) of each route that changes something and has no body."""
    return [
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if method != "get" and "requestBody" not in operation
    ]


@pytest.mark.parametrize("body", [b'{"dry_run": false}', b"x" * (MOST_BYTES + 1)])
@pytest.mark.parametrize(("method", "path"), operations_without_a_body())
def test_a_route_without_a_body_refuses_one(api: Api, method: str, path: str, body: bytes) -> None:
    filled = re.sub(r"\{\w+\}", "alpha", path)
    refused = api.operator.request(method, api.url + filled, content=body, headers=JSON)
    assert [one["loc"] for one in answered(refused, 422)["faults"]] == ["request"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/sessions/ID?wait_for=stopped&timeout=nan"), ("POST", "/reconcile?max_share=nan")],
)
def test_a_number_that_is_none_is_refused(api: Api, method: str, path: str) -> None:
    path = path.replace("ID", api.create(start=False))
    assert answered(api.operator.request(method, path, timeout=10), 422)["code"] == "invalid_request"


def test_a_client_that_leaves_within_its_body_is_no_defect_of_ours(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    head = f"POST /v1/sessions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    token = api.operator.headers["authorization"]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Authorization: {token}\r\n\r\n{{".encode())
    for _ in range(10):  # they are served after it
        assert api.get("/sessions")["items"] == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_request_that_outlasts_the_process_is_answered_503(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("orchestrator.api.serving.ANSWERED_WITHIN", 0.5)
    begun, over = threading.Event(), threading.Event()
    answers: list[httpx.Response] = []

    def block(*_: object, **__: object) -> list[object]:
        begun.set()
        over.wait(60)
        return []

    monkeypatch.setattr("orchestrator.flows.reports.views.of_sessions", block)
    with Api(world) as api:
        asking = threading.Thread(target=lambda: answers.append(api.operator.get("/sessions")))
        asking.start()
        assert begun.wait(30)
        api._server.handle_exit(15, None)
        asking.join(30)
        over.set()
    [response] = answers
    assert answered(response, 503)["code"] == "unavailable"
    assert "Traceback" not in caplog.text


def test_a_statement_that_takes_too_long_is_answered_503(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(tx: Transaction, *_: object, **__: object) -> None:
        tx.connection.execute(text("SET LOCAL statement_timeout = 50"))
        tx.connection.execute(text("SELECT pg_sleep(10)"))

    with World(postgres_url) as world, Api(world) as api:
        monkeypatch.setattr("orchestrator.flows.reports.views.of_sessions", slow)
        monkeypatch.setattr("orchestrator.flows.reports.views.of_session", slow)
        read = api.operator.get("/sessions")
        created = api.operator.post("/sessions", json={"account_id": "acme", "model_id": "llama"})
        for response in (read, created):
            assert answered(response, 503)["code"] == "unavailable"
            assert response.headers["retry-after"] == "1"
        monkeypatch.undo()
        assert api.get("/sessions")["items"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/sessions?colour=red"), ("POST", "/sessions?colour=red"), ("GET", "/audit?limit=1")],
)
def test_an_unknown_parameter_is_refused_and_nothing_done(api: Api, method: str, path: str) -> None:
    body = {"account_id": "acme", "model_id": "llama"} if method == "POST" else None
    [fault] = answered(api.operator.request(method, path, json=body), 422)["faults"]
    assert fault["loc"] == "query"
    assert "has the unknown parameter" in fault["msg"]
    assert api.get("/sessions")["items"] == []


def test_a_change_waits_for_a_locked_database_and_no_longer_than_documented(
    world: World, sqlite_url: str
) -> None:
    quick = Database(sqlite_url, clock=world.clock, gives_up_after=1.0)
    world.services = replace(world.services, database=quick)
    with Api(world) as api, closing(sqlite3.connect(str(quick.file), isolation_level=None)) as other:
        body = {"account_id": "acme", "model_id": "llama"}
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        refused = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-1"})
        waited = time.monotonic() - began
        assert answered(refused, 503)["code"] == "unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert 0.9 < waited < 15
        assert api.get("/sessions")["items"] == [], "who only reads does not wait"
        other.execute("ROLLBACK")
        again = api.operator.post("/sessions", json=body, headers={"Idempotency-Key": "order-1"})
        assert "idempotency-replayed" not in again.headers
        assert answered(again, 201)["state"] == "starting"
    quick.dispose()
