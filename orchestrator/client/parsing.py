"""From a job's keyword arguments to a request, or to a refusal that says everything wrong with them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import ErrorDetails

from orchestrator.client.json_limits import Loc, wild_faults
from orchestrator.client.requests import JOBS, CreateSession, Request
from orchestrator.rules.refusals import ErrorCode, Refusal

#: Faults listed for one request: enough to correct it, however large its batch.
MOST_FAULTS = 50

#: A key as people write them; anything else could be a secret in the wrong place and is not repeated.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")

_Fault: TypeAlias = dict[str, str]


def parse(name: str, kwargs: Any) -> Request:
    """Return the request, or Refusal(INVALID_REQUEST) with `faults`: `loc`, `msg` and `type` of each."""
    job = JOBS.get(name)
    if job is None:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"unknown job; known are {', '.join(JOBS)}", faults=[])
    if not isinstance(kwargs, dict):
        raise _refusal([_fault((), "the keyword arguments must be a JSON object", "dict_type")])
    wild = [_fault(*found) for found in islice(wild_faults(kwargs), MOST_FAULTS)]
    if wild:
        raise _refusal(wild)
    try:
        return job.model_validate(kwargs)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    raise _refusal([_pydantic_fault(detail) for detail in details])


def digest(request: CreateSession) -> str:
    """Return the same for the same request, however it is written, under whatever session id.

    What has its default is left out, so that a field added later changes no digest."""
    return _digest(request.model_dump(mode="json", exclude={"session_id"}, exclude_defaults=True))


def fingerprint(request: Request | None, kwargs: Any) -> str | None:
    """Return the same for the same arguments, however they are written and whether defaults are spelled out.

    `request`: what these arguments were parsed to; None where they are invalid: then they count as they came. None for
    what cannot be written as JSON."""
    if request is not None:
        return _digest(request.model_dump(mode="json", exclude_defaults=True))
    try:
        return _digest(kwargs)
    except (TypeError, ValueError, RecursionError):
        return None


def schema() -> dict[str, Any]:
    """Return JSON Schema of all jobs: a property for each task's name."""
    references, definitions = models_json_schema(
        [(job, "validation") for job in JOBS.values()], title="Jobs on the queue orchestrator.jobs"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": definitions["title"],
        "description": "Each property is a task's name and describes its keyword arguments.",
        "type": "object",
        "properties": {name: dict(references[job, "validation"]) for name, job in JOBS.items()},
        "$defs": definitions["$defs"],
    }


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _pydantic_fault(detail: ErrorDetails) -> _Fault:
    kind = detail.get("ctx", {}).get("kind", detail["type"])
    return _fault(detail["loc"], detail["msg"], str(kind))


def _fault(loc: Loc, message: str, kind: str) -> _Fault:
    return {"loc": _shown(loc), "msg": message, "type": kind}


def _shown(loc: Iterable[str | int]) -> str:
    """Return a path like `batch[3].count`; `request` for the whole."""
    shown = ""
    for part in loc:
        shown += f"[{part}]" if isinstance(part, int) else f".{part if _KEY.fullmatch(part) else '?'}"
    return shown.lstrip(".") or "request"


def _refusal(faults: Sequence[Mapping[str, str]]) -> Refusal:
    first = faults[0]
    others = len(faults) - 1
    more = f" ({others} more fault{'s' * (others > 1)})" if others else ""
    message = f"{first['loc']}: {first['msg']}{more}"
    return Refusal(ErrorCode.INVALID_REQUEST, message, faults=[dict(fault) for fault in faults[:MOST_FAULTS]])
