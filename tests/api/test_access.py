"""Who may: tokens, scopes, one account; and what errors say."""

import re
from typing import Any

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.api.authentication import (
    MOST_FAILURES,
    MOST_TOKENS,
    REMEMBERED,
    WITHIN,
    Failures,
    RecentTokens,
)
from orchestrator.api.bodies import MOST_BYTES
from orchestrator.api.problems import STATUS, ApiCode
from orchestrator.flows.operations.tokens import create_token
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.values import Scope
from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.database import StoreOutage
from tests.api.stage import Api, answered, operations
from tests.world import World


def test_without_a_token_only_probes_are_answered(api: Api) -> None:
    anonymous = httpx.Client(base_url=api.url, trust_env=False)
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"status": "ok"}
    probes = {"/healthz", "/readyz"}
    others = [(method, path) for method, path, _ in operations() if path not in probes]
    assert len(others) > 30
    asked = [*others, ("GET", "/openapi.json"), ("GET", "/nowhere"), ("GET", "/healthz/"), ("GET", "/")]
    for method, path in asked:
        response = anonymous.request(method, re.sub(r"\{\w+\}", "x", path))
        assert response.status_code in {401, 429}, (method, path)
        assert answered(response, response.status_code)["code"] in {"unauthenticated", "too_many_failures"}
    anonymous.close()


@pytest.mark.parametrize("header", ["", "Basic eA==", "Bearer", "Bearer x", "Bearer orch_0_0", "Bearer \xff"])
def test_a_wrong_token_is_refused_and_not_repeated(api: Api, header: str) -> None:
    with httpx.Client(base_url=api.url, trust_env=False) as client:
        response = client.get("/v1/sessions", headers={b"Authorization": header.encode("latin-1")})
    assert answered(response, 401)["code"] == "unauthenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "orch_0_0" not in response.text


def test_a_revoked_token_is_refused_once_it_is_read_again(world: World) -> None:
    now = [0.0]
    with Api(world, lambda process: create_app(process, recent=RecentTokens(lambda: now[0]))) as api:
        text = api.token(Scope.READ)
        client = api.client_with(text)
        answered(client.get("/sessions"))
        database = world.services.database
        database.transact(lambda tx: tx.tokens.revoke(text.split("_")[1], tx.now()))
        now[0] = REMEMBERED * 0.99
        answered(client.get("/sessions"))
        now[0] = REMEMBERED
        assert answered(client.get("/sessions"), 401)["code"] == "unauthenticated"


def test_a_token_is_remembered_for_a_moment_and_of_many_the_newest_are(world: World) -> None:
    now = [0.0]
    recent = RecentTokens(lambda: now[0])
    made = [create_token(world.services.database, f"t{n}", {Scope.READ}) for n in range(2)]
    recent.keep(made[0].text, made[0].token, recent.now())
    assert recent.find(made[0].text) == made[0].token
    assert recent.find(made[1].text) is None
    assert recent.find(made[0].text[:-1]) is None
    for n in range(MOST_TOKENS):
        recent.keep(f"orch_{n}_x", made[1].token, recent.now())
    assert recent.find(made[0].text) is None
    assert recent.find("orch_0_x") == made[1].token
    now[0] = REMEMBERED
    assert recent.find("orch_0_x") is None


def test_failures_are_limited_and_valid_tokens_are_not(api: Api) -> None:
    wrong = api.client_with("orch_0_0")
    for _ in range(MOST_FAILURES):
        answered(wrong.get("/sessions"), 401)
    limited = wrong.get("/sessions")
    assert answered(limited, 429)["code"] == "too_many_failures"
    assert 0 < int(limited.headers["retry-after"]) <= WITHIN + 1
    api.get("/sessions")


def test_failures_are_forgotten_after_a_while() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    assert [failures.note("a") for _ in range(MOST_FAILURES)] == [None] * MOST_FAILURES
    now[0] = WITHIN / 2
    assert failures.note("a") == WITHIN / 2
    assert failures.note("b") is None
    now[0] = WITHIN
    assert failures.note("a") is None


def test_every_route_needs_a_scope_and_is_refused_without_it(api: Api) -> None:
    reveal = api.client(Scope.REVEAL)
    for method, path, operation in operations():
        if path.startswith("/v1"):
            [[scope]] = [one["token"] for one in operation["security"]]
            assert Scope(scope) in {Scope.READ, Scope.OPERATE, Scope.ADMIN}
            response = reveal.request(method, api.url + re.sub(r"\{\w+\}", "x", path), json={})
            assert answered(response, 403)["code"] == "forbidden", (method, path)


def test_reading_changes_nothing_and_operating_no_account(api: Api) -> None:
    read, operate = api.client(Scope.READ), api.client(Scope.OPERATE)
    session = {"account_id": "acme", "model_id": "llama"}
    assert answered(read.post("/sessions", json=session), 403)["detail"].endswith("scope operate")
    credit = {"amount": "1", "currency": "USD", "key": "k"}
    assert answered(operate.post("/accounts/acme/credits", json=credit), 403)["detail"].endswith(
        "scope admin"
    )
    assert api.world.balance() == 100


# errors


def test_every_code_has_a_status_and_none_is_a_servers_error() -> None:
    assert set(STATUS) == {str(code) for code in [*ErrorCode, *ApiCode]}
    assert {code: status for code, status in STATUS.items() if status >= 500} == {"unavailable": 503}


def test_what_is_no_request_is_answered_as_a_problem(api: Api) -> None:
    json_of = {"Content-Type": "application/json"}

    def sent(method: str, path: str, content: Any, headers: Any = json_of) -> Any:
        response = api.operator.request(method, path, content=content, headers=headers)
        return answered(response, response.status_code)["code"], response.status_code

    assert sent("GET", "/nowhere", b"") == ("not_found", 404)
    assert sent("PATCH", "/sessions", b"") == ("method_not_allowed", 405)
    assert sent("POST", "/sessions", b"{") == ("malformed", 400)
    assert sent("POST", "/sessions", b"") == ("malformed", 400)
    assert sent("POST", "/sessions", b"\xff\xfe") == ("malformed", 400)
    assert sent("POST", "/sessions", b"[" * 100_000) == ("malformed", 400)
    assert sent("POST", "/sessions", b'{"nodes":' + b"9" * 5000 + b"}") == ("malformed", 400)
    assert sent("POST", "/sessions", b"[]") == ("invalid_request", 422)
    assert sent("POST", "/sessions", b'{"nodes": NaN}') == ("invalid_request", 422)
    assert sent("POST", "/sessions", b"x=1", {"Content-Type": "text/plain"}) == (
        "unsupported_media_type",
        415,
    )
    assert sent("POST", "/sessions", b"x" * (MOST_BYTES + 1)) == ("too_large", 413)
    chunks = (b"x" * 65536 for _ in range(MOST_BYTES // 65536 + 2))
    assert sent("POST", "/sessions", chunks) == ("too_large", 413)
    assert sent("GET", "/sessions/%00", b"") == ("invalid_request", 422)
    assert sent("GET", "/sessions/a%2Fb", b"") in {("not_found", 404), ("invalid_request", 422)}
    long_key = {**json_of, "Idempotency-Key": "k" * 256}
    assert sent("POST", "/sessions", b"{}", long_key) == ("invalid_request", 422)


def test_a_defect_of_ours_is_answered_without_what_it_was(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("sk-secret in a message")

    monkeypatch.setattr("orchestrator.flows.reports.views.of_sessions", fail)
    response = api.operator.get("/sessions")
    assert answered(response, 500)["code"] == "internal_error"
    assert "sk-secret" not in response.text
    assert "GET /v1/sessions failed" in caplog.text


def test_a_database_that_is_down_is_answered_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreOutage(ErrorClass.DOWN, OSError("password"))

    monkeypatch.setattr("orchestrator.flows.reports.views.of_sessions", fail)
    response = api.operator.get("/sessions")
    assert answered(response, 503)["code"] == "unavailable"
    assert response.headers["retry-after"] == "1"
    assert "password" not in response.text
    monkeypatch.setattr(api.process.services.database, "reading", fail)
    assert answered(api.operator.get("/sessions"), 503)["code"] == "unavailable"
    with httpx.Client(base_url=api.url, trust_env=False) as anonymous:
        assert anonymous.get("/healthz").status_code == 200
        assert anonymous.get("/readyz").status_code == 503
