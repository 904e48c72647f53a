"""Errors as RFC 9457 problem details, with the contract's code. One table says which status each code has."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse

from orchestrator.client.outcomes import plain
from orchestrator.rules.refusals import ErrorCode, Refusal

MEDIA_TYPE = "application/problem+json"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="orchestrator"'}
#: Seconds after which a request that found the database or an account busy is repeated.
RETRY_AFTER = 1


class ApiCode(StrEnum):
    """Codes that only the API has, besides those of jobs."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SECRET_MISSING = "secret_missing"  # noqa: S105
    PLAN_CHANGED = "plan_changed"
    EVENTS_GONE = "events_gone"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_MANY_FAILURES = "too_many_failures"
    UNAVAILABLE = "unavailable"


#: The status of each code. A refusal is 404, 409, 412 or 422; the same request meets it again until something changes.
STATUS: Mapping[str, int] = MappingProxyType(
    {
        ApiCode.MALFORMED: 400,
        ApiCode.UNAUTHENTICATED: 401,
        ApiCode.FORBIDDEN: 403,
        ApiCode.NOT_FOUND: 404,
        ErrorCode.UNKNOWN_ACCOUNT: 404,
        ErrorCode.UNKNOWN_MODEL: 404,
        ErrorCode.UNKNOWN_SESSION: 404,
        ApiCode.METHOD_NOT_ALLOWED: 405,
        ErrorCode.NAME_TAKEN: 409,
        ErrorCode.QUOTA_TOTAL_EXCEEDED: 409,
        ErrorCode.QUOTA_CONCURRENT_EXCEEDED: 409,
        ErrorCode.QUEUE_AHEAD: 409,
        ErrorCode.INSUFFICIENT_BALANCE: 409,
        ErrorCode.BUDGET_EXCEEDED: 409,
        ErrorCode.BURN_RATE_EXCEEDED: 409,
        ErrorCode.NO_CAPACITY: 409,
        ErrorCode.INVALID_STATE: 409,
        ErrorCode.CONFLICT: 409,
        ErrorCode.INTERNAL_ERROR: 409,
        ApiCode.SECRET_MISSING: 409,
        ApiCode.PLAN_CHANGED: 409,
        ApiCode.EVENTS_GONE: 410,
        ErrorCode.PRECONDITION_FAILED: 412,
        ApiCode.TOO_LARGE: 413,
        ApiCode.UNSUPPORTED_MEDIA_TYPE: 415,
        ErrorCode.INVALID_REQUEST: 422,
        ErrorCode.MODEL_NOT_ELIGIBLE: 422,
        ErrorCode.QUOTA_NODES_EXCEEDED: 422,
        ErrorCode.CURRENCY_MISMATCH: 422,
        ErrorCode.LIMIT_EXCEEDED: 422,
        ApiCode.TOO_MANY_FAILURES: 429,
        ApiCode.UNAVAILABLE: 503,
    }
)


class Problem(Exception):
    """A request that is not carried out."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe the error. `status`: instead of the table's."""
        super().__init__(message)
        self.code, self.message = str(code), message
        self.status = STATUS[code] if status is None else status
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    @classmethod
    def of(cls, refusal: Refusal) -> "Problem":
        """Return the problem of a refused job."""
        return cls(refusal.code, refusal.message, details=refusal.details)


def invalid(*faults: Mapping[str, str]) -> Problem:
    """Return the problem of an invalid request. Each fault has `loc`, `msg` and `type`."""
    first, others = faults[0], len(faults) - 1
    more = f" ({others} more fault{'s' * (others > 1)})" if others else ""
    message = f"{first['loc']}: {first['msg']}{more}"
    return Problem(ErrorCode.INVALID_REQUEST, message, details={"faults": [dict(one) for one in faults]})


def fault(loc: str, message: str, kind: str = "value") -> Mapping[str, str]:
    """Return one fault of a request."""
    return {"loc": loc, "msg": message, "type": kind}


def unavailable(message: str, retry_after: int = RETRY_AFTER) -> Problem:
    """Return the problem of a request that may be repeated after this many seconds."""
    return Problem(ApiCode.UNAVAILABLE, message, headers={"Retry-After": str(retry_after)})


def unauthenticated(message: str) -> Problem:
    """Return the problem of a request without a valid token."""
    return Problem(ApiCode.UNAUTHENTICATED, message, headers=_CHALLENGE)


def unexpected() -> JSONResponse:
    """Return the answer to a defect of ours. The log describes it; the answer does not."""
    message = "the request failed for a reason that is in the log of the API process"
    return answer(Problem(ErrorCode.INTERNAL_ERROR, message, status=500))


def answer(problem: Problem) -> JSONResponse:
    """Return the response."""
    details = {name: value for name, value in plain(problem.details).items() if name != "faults"}
    faults: Sequence[Any] = plain(problem.details.get("faults", ()))
    content = {
        "type": f"urn:orchestrator:problem:{problem.code}",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "detail": problem.message,
        "code": problem.code,
        "faults": faults,
        "details": details,
    }
    return JSONResponse(content, problem.status, problem.headers, media_type=MEDIA_TYPE)
