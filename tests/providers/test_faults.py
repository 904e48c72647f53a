"""Error bodies and their verdicts: tables."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.providers.port.answers import RETRY_AFTER_MAX, Response, retry_after
from orchestrator.providers.port.faults import describe, limits_whole_key, read_fault, verdict_of
from orchestrator.rules.values import Verdict

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def answer(status: int, body: Any = "", headers: dict[str, str] | None = None, **more: Any) -> Response:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Response(status=status, body=raw, headers=headers or {}, received_at=NOW, **more)


HTML = "<html><head><title>session expired, out of credits</title></head></html>"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": "c"}}, "c", "m"),
        ({"error": {"message": "m", "type": "t"}}, "t", "m"),
        ({"error": "text"}, None, "text"),
        ({"message": "m", "path": "/x", "requestId": "r", "statusCode": "400", "timestamp": "t"}, None, "m"),
        ({"statusCode": 400, "message": "m"}, None, "m"),
        ({"statusCode": 400, "message": ["m", "n"], "error": "Bad Request"}, None, "Bad Request; m; n"),
        ({"detail": "text"}, None, "text"),
        (
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "m", "type": "missing"}]},
            "missing",
            "body.max_tokens: m",
        ),
        ({"detail": {"error": {"message": "m", "code": "c"}}}, "c", "m"),
        ({"detail": {"message": "m", "code": 7}}, "7", "m"),
        ([{"error": {"message": "m"}}], None, "m"),
        ("plain text", None, "plain text"),
        ('data: {"error": {"message": "m"}}\n\ndata: [DONE]\n', None, "m"),
        (HTML, None, ""),
        ("[" * 100_000, None, "[" * 2000),
    ],
)
def test_every_known_error_body_is_understood(body: Any, code: str | None, message: str) -> None:
    fault = read_fault(answer(400, body))
    assert (next(iter(fault.codes), None), fault.message) == (code, message)


def error(text: str, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": text, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error("bad"), Verdict.MISCONFIGURED),
        (400, error("no", "session_expired"), Verdict.GONE),
        (400, error("no", "session_not_found"), Verdict.GONE),
        (400, error("Your credit balance is too low"), Verdict.OUT_OF_BALANCE),
        (400, error("load balancer refused"), Verdict.MISCONFIGURED),
        (401, error("bad key"), Verdict.CREDENTIALS),
        (401, error("your login session expired"), Verdict.CREDENTIALS),
        (401, HTML, Verdict.CREDENTIALS),
        (402, "", Verdict.OUT_OF_BALANCE),
        (403, error("no"), Verdict.CREDENTIALS),
        (403, {"message": "You've run out of credits. Top up."}, Verdict.OUT_OF_BALANCE),
        (403, HTML, Verdict.MISCONFIGURED),
        (404, error("The model `x` does not exist."), Verdict.GONE),
        (404, {"detail": "Session 0x1 not found"}, Verdict.GONE),
        (404, {"detail": "No such model: x"}, Verdict.GONE),
        (404, {"detail": "Not Found"}, Verdict.MISCONFIGURED),
        (404, error("Invalid URL (POST /v1/models/chat)"), Verdict.MISCONFIGURED),
        (404, "The URL /session was not found", Verdict.MISCONFIGURED),
        (404, HTML, Verdict.MISCONFIGURED),
        (408, "", Verdict.TRANSIENT),
        (413, "", Verdict.MISCONFIGURED),
        (422, {"detail": []}, Verdict.MISCONFIGURED),
        (425, "", Verdict.TRANSIENT),
        (429, error("slow down"), Verdict.THROTTLED),
        (429, error("You exceeded your current quota", "insufficient_quota"), Verdict.OUT_OF_BALANCE),
        (429, error("Quota exceeded: 60 requests per minute"), Verdict.THROTTLED),
        (429, HTML, Verdict.THROTTLED),
        (500, error("oops"), Verdict.TRANSIENT),
        (500, {"detail": "Error from proxy router: session expired"}, Verdict.GONE),
        (500, {"detail": "Error from proxy router: session not found"}, Verdict.GONE),
        (500, {"message": "400 Body validation error!", "statusCode": 500}, Verdict.MISCONFIGURED),
        (500, error("Error code: 429 - slow down"), Verdict.THROTTLED),
        (500, error("upstream: status code 503"), Verdict.TRANSIENT),
        (500, error("took 404 ms"), Verdict.TRANSIENT),
        (500, HTML, Verdict.TRANSIENT),
        (502, "", Verdict.TRANSIENT),
        (503, error("busy"), Verdict.TRANSIENT),
        (503, {"error": "Model x is currently loading", "estimated_time": 20}, Verdict.LOADING),
        (503, {"error": "wait", "estimated_time": 20}, Verdict.LOADING),
        (502, error("model is cold"), Verdict.LOADING),
        (504, HTML, Verdict.TRANSIENT),
        (529, error("overloaded"), Verdict.TRANSIENT),
        (200, error("oops"), Verdict.TRANSIENT),
        (200, error("no", 402), Verdict.OUT_OF_BALANCE),
        (200, error("no", "429"), Verdict.THROTTLED),
        (200, error("x", "invalid_api_key"), Verdict.CREDENTIALS),
        (200, error("x", "insufficient_quota"), Verdict.OUT_OF_BALANCE),
        (200, error("session expired"), Verdict.GONE),
        (200, 'data: {"error": {"message": "session expired"}}\n\n', Verdict.GONE),
        (200, HTML, Verdict.MISCONFIGURED),
        (204, "", Verdict.MISCONFIGURED),
        (301, "", Verdict.MISCONFIGURED),
        (307, HTML, Verdict.MISCONFIGURED),
    ],
)
def test_the_verdict_of_a_bad_answer(status: int, body: Any, expected: Verdict) -> None:
    assert verdict_of(answer(status, body)) is expected


#: As the platforms write it: OpenAI, OpenRouter, Google, LiteLLM, Anthropic, Moonshot.
RPM = (
    "Rate limit reached for llama-3 in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1."
    " Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase"
    " your rate limit by adding a payment method at https://platform.openai.com/account/billing."
)
OPENAI_QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(429, error(RPM, "rate_limit_exceeded"), Verdict.THROTTLED, id="requests per minute"),
        pytest.param(429, error(RPM), Verdict.THROTTLED, id="requests per minute, without its code"),
        pytest.param(
            429,
            error("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests", 429),
            Verdict.THROTTLED,
            id="a day's rate, and credits for more",
        ),
        pytest.param(
            429,
            error(
                f"{OPENAI_QUOTA} Quota exceeded for metric: free_tier_requests. Please retry in 12.3s.", 429
            ),
            Verdict.THROTTLED,
            id="a quota that is back in seconds",
        ),
        pytest.param(
            429, error("Token quota exceeded, resets in 12s"), Verdict.THROTTLED, id="a quota that resets"
        ),
        pytest.param(
            429, error("no room, try later", "insufficient_capacity"), Verdict.THROTTLED, id="no capacity"
        ),
        pytest.param(429, error(OPENAI_QUOTA, "insufficient_quota"), Verdict.OUT_OF_BALANCE, id="no quota"),
        pytest.param(
            429,
            error(f"litellm.RateLimitError: RateLimitError: OpenAIException - {OPENAI_QUOTA}", "429"),
            Verdict.OUT_OF_BALANCE,
            id="no quota, through a proxy",
        ),
        pytest.param(
            429,
            error("Your account is not active, please check your billing details", "billing_not_active"),
            Verdict.OUT_OF_BALANCE,
            id="an account that is not active",
        ),
        pytest.param(
            400,
            error("Billing hard limit has been reached", "billing_hard_limit_reached"),
            Verdict.OUT_OF_BALANCE,
            id="the account's own limit",
        ),
        pytest.param(
            400,
            error("Your credit balance is too low. Please go to Plans & Billing to upgrade"),
            Verdict.OUT_OF_BALANCE,
            id="a low credit balance",
        ),
        pytest.param(
            429,
            error("Your account is suspended", "exceeded_current_quota_error"),
            Verdict.OUT_OF_BALANCE,
            id="a suspended account",
        ),
        pytest.param(403, error("no", "insufficient_permissions"), Verdict.CREDENTIALS, id="no permission"),
        pytest.param(403, {"error": "insufficient_scope"}, Verdict.CREDENTIALS, id="no scope"),
        pytest.param(
            403,
            error("This key is disabled; see https://x/billing"),
            Verdict.CREDENTIALS,
            id="a disabled key",
        ),
        pytest.param(403, error("no", "insufficient_funds"), Verdict.OUT_OF_BALANCE, id="no funds"),
        pytest.param(
            400, error("Invalid value for 'billing'"), Verdict.MISCONFIGURED, id="a field called billing"
        ),
    ],
)
def test_limits_of_rate_empty_accounts_and_keys_that_may_not_are_distinguished(
    status: int, body: Any, expected: Verdict
) -> None:
    assert verdict_of(answer(status, body)) is expected


def test_a_503_with_retry_after_is_loading() -> None:
    assert verdict_of(answer(503, "", {"retry-after": "5"})) is Verdict.LOADING


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("7", 7, id="seconds"),
        pytest.param("0.5", 0.5, id="a fraction"),
        pytest.param("-5", 0, id="negative"),
        pytest.param("99999999999", RETRY_AFTER_MAX, id="absurd"),
        pytest.param("inf", RETRY_AFTER_MAX, id="for ever"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("Sat, 21 Nov 2026 12:00:30 GMT", 30, id="date"),
        pytest.param("Sat, 21 Nov 2026 12:00:30", 30, id="date without a zone"),
        pytest.param("Sat, 21 Nov 2020 12:00:30 GMT", 0, id="a date in the past"),
        pytest.param("Sat, 21 Nov 2099 12:00:30 GMT", RETRY_AFTER_MAX, id="a date in the far future"),
        pytest.param("soon", None, id="words"),
        pytest.param("", None, id="empty"),
        pytest.param("Sat, 99 Nov 99999999999 12:00:30 GMT", None, id="no such date"),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (answer(400, error("bad", "c")), "HTTP 400 c: bad"),
        (answer(502, HTML), "HTTP 502 an HTML page"),
        (answer(302), "HTTP 302 a redirect, which is not followed"),
        (answer(500), "HTTP 500 an empty body"),
        (answer(200, "{}", oversized=True), "HTTP 200 the body is too large to read"),
        (answer(401, error("key abc-123 is wrong"), hide=lambda: ("abc-123",)), "HTTP 401 key *** is wrong"),
    ],
)
def test_descriptions_are_for_people(given: Response, line: str) -> None:
    assert describe(given) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("Rate limit reached", False),
        (
            "Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3.",
            False,
        ),
        ("Rate limit reached for model `llama` in organization `org_1` on tokens per minute", False),
        ("No deployments available for selected model, Try again in 5 seconds. Passed model=x.", False),
        ("Model is overloaded", False),
        ("Too many requests, your key is fine", False),
        ("Rate limit exceeded for this API key", True),
        ("Rate limit exceeded for api_key: 4711. Limit type: requests", True),
        ("Rate limit exceeded for model_per_key: 4711", False),
        ("rate limit type: key", True),
        ("The account's rate limit is 5 requests per second", True),
        ("Your organization has exceeded 60 requests per minute", True),
        ("Too many requests from this user", True),
        ("Rate limit of your account reached for model x", False),
        ("Rate limit reached for your account with all models", True),
        ("Slow down across all models", True),
    ],
)
def test_a_limit_is_of_the_whole_key_only_where_the_platform_says_so(text: str, expected: bool) -> None:
    assert limits_whole_key(answer(429, error(text))) is expected
