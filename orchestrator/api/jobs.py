"""Carry out a job in this process, exactly as a worker does, and answer with its outcome."""

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from orchestrator.api.callers import caller_of, process_of
from orchestrator.api.problems import Problem, answer, fault, invalid
from orchestrator.api.versions import Representation, etag_of
from orchestrator.flows.jobs.perform import Performed, perform_once
from orchestrator.flows.jobs.under_key import perform_under_key
from orchestrator.observability import tracing
from orchestrator.store.transaction import Precondition

#: The longest key: as a task id it may have an account's id before it.
LONGEST_KEY = 180
_KEY = re.compile(f"[!-~]{{1,{LONGEST_KEY}}}")
KEY, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"


async def carry_out(
    request: Request,
    name: str,
    kwargs: Mapping[str, Any],
    *,
    status: int = 200,
    precondition: Precondition | None = None,
    versioned: Callable[[Representation], Representation] | None = None,
) -> JSONResponse:
    """Answer with the job's result, or with its refusal. The request's `Idempotency-Key` is the job's task id, so that
    a repeated request gets the first outcome. `versioned`: the part of the result that has an `ETag`."""
    caller, process = caller_of(request), process_of(request)
    key = key_of(request)
    with tracing.called_by(request.headers.get("traceparent")):
        performed = await process.change(
            lambda: perform_once(
                process.services,
                caller.task_id(key),
                f"orchestrator.{name}",
                dict(kwargs),
                author=caller.token.name,
                precondition=precondition,
            )
        )
    return _answer(performed, status, key, versioned)


async def operate(
    request: Request,
    name: str,
    arguments: Mapping[str, Any],
    work: Callable[[], Mapping[str, Any]],
    *,
    asks_providers: bool = True,
    versioned: Callable[[Representation], Representation] | None = None,
) -> JSONResponse:
    """Answer with the result of work that is more than one transaction. It is kept under the request's
    `Idempotency-Key` as a job's outcome is. `asks_providers`: it may take a minute; `versioned`: the part of the result
    that has an `ETag`."""
    caller, process, key = caller_of(request), process_of(request), key_of(request)
    run = process.check if asks_providers else process.change
    performed = await run(
        lambda: perform_under_key(
            process.services,
            caller.task_id(key),
            f"orchestrator.{name}",
            arguments,
            caller.token.name,
            work,
        )
    )
    return _answer(performed, 200, key, versioned)


def key_of(request: Request) -> str:
    """Return the request's key, or a new one. Raises Problem for one that cannot be a key."""
    keys = request.headers.getlist(KEY)
    if not keys:
        return str(uuid.uuid4())
    key = keys[0]
    if len(keys) > 1:
        raise invalid(fault(KEY, "is sent more than once: a request has one key", "repeated"))
    if not _KEY.fullmatch(key):
        message = f"must be 1 to {LONGEST_KEY} printable ASCII characters without spaces, such as a UUID"
        raise invalid(fault(KEY, message, "pattern"))
    return key


def _answer(
    performed: Performed,
    status: int,
    key: str,
    versioned: Callable[[Representation], Representation] | None,
) -> JSONResponse:
    outcome = performed.outcome
    if outcome["ok"]:
        response = JSONResponse(outcome["result"], status)
        if versioned is not None:
            response.headers["ETag"] = etag_of(versioned(outcome["result"]))
    else:
        error = outcome["error"]
        reused = 422 if performed.reused else None
        response = answer(Problem(error["code"], error["message"], status=reused, details=error["details"]))
    response.headers[KEY] = key
    if performed.replayed:
        response.headers[REPLAYED] = "true"
    return response
