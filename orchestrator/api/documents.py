"""The OpenAPI document: what each route needs, takes, returns and refuses."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.openapi.utils import get_openapi
from fastapi.params import Query
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator import __version__
from orchestrator.api.callers import caller_of
from orchestrator.api.problems import MEDIA_TYPE, STATUS, fault, invalid
from orchestrator.client.resources import HealthResource, ProblemResource
from orchestrator.rules.values import Scope

_REFS = "#/components/schemas/{model}"
#: What any request may be answered with.
ALWAYS = (401, 403, 422, 429, 503)
#: Besides, a request with a body.
WITH_BODY = (400, 413, 415)
_MEANING: Mapping[int, str] = {
    400: "The body is not JSON.",
    401: "No valid token was sent.",
    403: "The token does not allow this.",
    404: "It does not exist, or belongs to another account.",
    409: "The state of the platform does not allow it now.",
    410: "Events after that position are no longer kept.",
    412: "It has changed since it was read.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The request is invalid, or can never be carried out as it is.",
    429: "Too many requests without a valid token came from this address.",
    503: "The database, or the account, is busy: repeat the request after `Retry-After` seconds.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The job's task id. The same key again returns the first outcome.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 180, "pattern": "^[!-~]+$"},
    "example": "order-4711",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that was read: change this version only.",
    "schema": {"type": "string"},
    "example": '"0123456789abcdef0123456789abcdef"',
}
_REPLAYED = {
    "Idempotency-Key": {"description": "The key of this request.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` if the outcome is that of an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
}
_ETAG = {"ETag": {"description": "The version.", "schema": {"type": "string"}}}
#: The document has a schema for each of these models.
_models: set[type[BaseModel]] = {ProblemResource, HealthResource}


def describes(
    scope: Scope,
    returns: type[BaseModel],
    *,
    status: int = 200,
    errors: Sequence[int] = (),
    body: type[BaseModel] | None = None,
    without: str | tuple[str, ...] = (),
    needs_body: bool = True,
    job: bool = False,
    versioned: bool = False,
    all_accounts: bool = False,
    example: Any = None,
    also: Mapping[str, Any] | None = None,
    also_models: Sequence[type[BaseModel]] = (),
) -> dict[str, Any]:
    """Return the arguments of a route. `body`: its request model, `without` the fields that the path has; `job`: it
    takes an `Idempotency-Key`; `versioned`: it has an `ETag`; `all_accounts`: it is not for tokens of one account;
    `also`: other media types of the answer, with the models that they name."""
    _models.update({returns, *also_models} | ({body} if body else set()))
    content: dict[str, Any] = {"application/json": {"schema": _ref(returns)}, **(also or {})}
    headers = (_REPLAYED if job else {}) | (_ETAG if versioned else {})
    good = {"description": (returns.__doc__ or "").strip(), "content": content, "headers": headers}
    refused = sorted({*ALWAYS, *errors, *(WITH_BODY if body else ()), *((409,) if job else ())})
    extra: dict[str, Any] = {"security": [{"token": [scope.value]}]}
    parameters = ([_KEY] if job else []) + ([_IF_MATCH] if versioned and job else [])
    if parameters:
        extra["parameters"] = parameters
    if body is not None:
        extra["requestBody"] = _body(body, without, example, required=needs_body)
    return {
        "status_code": status,
        "response_model": None,
        "responses": {status: good, **{code: _problem(code) for code in refused}},
        "openapi_extra": extra,
        "dependencies": [Depends(_allows(scope, all_accounts=all_accounts))],
    }


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    document = get_openapi(
        title="Session orchestrator",
        version=__version__,
        openapi_version="3.1.0",
        description=(
            "Create model sessions, watch them, extend and close them. Times are RFC 3339 in UTC, money is a decimal"
            " string. Lists come in pages: send `next` as `after` to get the following page."
        ),
        routes=app.routes,
    )
    _, schemas = models_json_schema(
        [(model, _mode(model)) for model in sorted(_models, key=lambda one: one.__name__)],
        ref_template=_REFS,
    )
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted(schemas["$defs"].items()))
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by `orchestrator token create`.",
        }
    }
    for path in document["paths"].values():
        for operation in path.values():
            _complete(operation, components["schemas"])
    return document


def _mode(model: type[BaseModel]) -> Any:
    return "serialization" if model.__name__.endswith("Resource") else "validation"


def _complete(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Remove what FastAPI adds for its own errors, and write out bodies without the fields that the path has."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None and "x-without" in content:
        name, without = content["schema"]["$ref"].rpartition("/")[2], content.pop("x-without")
        schema = dict(schemas[name])
        schema["properties"] = {key: one for key, one in schema["properties"].items() if key not in without}
        schema["required"] = [key for key in schema.get("required", ()) if key not in without]
        content["schema"] = {key: one for key, one in schema.items() if one != []}


def _body(
    model: type[BaseModel], without: str | tuple[str, ...], example: Any, *, required: bool
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _ref(model)}
    if without:
        content["x-without"] = (without,) if isinstance(without, str) else without
    if example is not None:
        content["example"] = example
    return {"required": required, "content": {"application/json": content}}


def _problem(status: int) -> dict[str, Any]:
    codes = sorted(code for code, its_status in STATUS.items() if its_status == status)
    example = {
        "type": f"urn:orchestrator:problem:{codes[0]}",
        "title": codes[0].replace("_", " "),
        "status": status,
        "detail": _MEANING[status],
        "code": codes[0],
        "faults": [],
        "details": {},
    }
    content = {MEDIA_TYPE: {"schema": _ref(ProblemResource), "example": example}}
    return {"description": f"{_MEANING[status]} Codes: {', '.join(codes)}.", "content": content}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFS.format(model=model.__name__)}


def _probe(*statuses: int) -> dict[str, Any]:
    """Return the arguments of a route that needs no token."""
    good = {
        "description": "The process is well.",
        "content": {"application/json": {"schema": _ref(HealthResource)}},
    }
    return {
        "response_model": None,
        "responses": {200: good, **{status: _problem(status) for status in statuses}},
        "openapi_extra": {"security": []},
    }


#: The arguments of the routes that say whether the process is well.
PROBES = _probe(), _probe(503)


def _allows(scope: Scope, *, all_accounts: bool) -> Callable[[Request], Awaitable[None]]:
    """Return the check that every route makes first: the scope, and that no query parameter is misspelt."""

    async def check(request: Request) -> None:
        caller = caller_of(request)
        caller.needs(scope)
        if all_accounts:
            caller.needs_all_accounts()
        parameters = get_flat_params(request.scope["route"].dependant)
        known = {one.alias for one in parameters if isinstance(one.field_info, Query)}
        faults = [
            fault(
                "query",
                f"has the unknown parameter {name[:64]!r}; known are {', '.join(sorted(known)) or 'none'}",
                "extra",
            )
            for name in request.query_params
            if name not in known
        ]
        if faults:
            raise invalid(faults[0])

    return check
