"""Read JSON bodies within bounds, and check those of requests that are no jobs."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.rules.installation.message_size import check_values
from orchestrator.rules.installation.messages import UnreadableMessage
from orchestrator.validation.locs import path_of
from orchestrator.validation.wording import in_words

M = TypeVar("M", bound=BaseModel)

#: Bytes of a body: a full batch of interactions has fewer.
MOST_BYTES = 4 * 1024 * 1024
#: Bytes that an empty object has at most, with blanks.
_BLANK = 16
#: Faults that one answer lists.
MOST_FAULTS = 50


async def body_of(request: Request, *, required: bool = True) -> dict[str, Any]:
    """Return the JSON object of the body; an empty one where none is required and none came.

    Raises Problem for a body that is too large, of another type, or malformed."""
    raw = await _bytes(request)
    if not raw and not required:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "send JSON, with the header Content-Type: application/json (curl does with --json)"
        raise Problem(ApiCode.UNSUPPORTED_MEDIA_TYPE, message)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        message = "send the body as it is, without a Content-Encoding"
        raise Problem(ApiCode.UNSUPPORTED_MEDIA_TYPE, message, headers={"Accept-Encoding": "identity"})
    value = _value(raw)
    if not isinstance(value, dict):
        raise invalid(fault("request", "must be a JSON object", "dict_type"))
    return value


def _value(raw: bytes) -> Any:
    """Return the JSON value. Raises Problem that says where it is broken, without repeating what is there."""
    try:
        check_values(raw, "body")
        return json.loads(raw)
    except UnreadableMessage as error:
        raise Problem(ApiCode.TOO_LARGE, str(error)) from None
    except json.JSONDecodeError as error:
        why = f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        why = f"the body is not JSON: it is not UTF-8 text (byte {error.start})"
    except RecursionError:
        why = "the body is nested too deeply"
    except ValueError:
        why = "the body has a number with too many digits"
    raise Problem(ApiCode.MALFORMED, why)


def model_of(model: type[M], body: Mapping[str, Any]) -> M:
    """Return the body as a model. Raises Problem with every fault, named by its place."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise invalid(*(_fault_of(model, one) for one in details[:MOST_FAULTS]))


def _fault_of(model: type[BaseModel], detail: ErrorDetails) -> Mapping[str, str]:
    """Return one fault. A key that the model does not have is not repeated: it may be a secret in the wrong place."""
    loc = tuple(part for part in detail["loc"] if isinstance(part, int) or part in model.model_fields)
    return fault(path_of(loc) or "request", in_words(detail, table="an object"), detail["type"])


async def no_body(request: Request) -> None:
    """Raise Problem where a request that has only query parameters comes with a body."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _BLANK:
            break
    if bytes(raw).strip() not in (b"", b"{}"):
        raise invalid(fault("request", "takes no body: give its options in the query", "extra_forbidden"))


async def _bytes(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    too_large = Problem(ApiCode.TOO_LARGE, f"the body has more than {MOST_BYTES} bytes")
    if declared.isdigit() and int(declared) > MOST_BYTES:
        raise too_large
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise too_large
    return bytes(raw)
