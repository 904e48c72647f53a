"""Ask the API's routes in this process, with the token of the person who asks. Scopes, the bound account, validation
and keys hold as they do over HTTP."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from starlette.types import ASGIApp, Message, Scope

from orchestrator.api.jobs import KEY
from orchestrator.api.problems import Problem

Query = Mapping[str, Any] | Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What a route answered."""

    status: int
    content: Any
    headers: Mapping[str, str]


async def get(request: Request, path: str, query: Query | None = None) -> Any:
    """Return what the API answers. Raises Problem for what it refuses."""
    return (await ask(request, "GET", path, query=query)).content


async def find(request: Request, path: str, query: Query | None = None) -> Any | None:
    """Return what the API answers; None if it does not exist, or not for this person, or not now."""
    try:
        return await get(request, path, query)
    except Problem as problem:
        if problem.status not in (403, 404, 409):
            raise
        return None


async def change(
    request: Request, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
) -> Any:
    """Carry out a request that changes something. Under the same `key` it acts once. Raises Problem."""
    return (await ask(request, method, path, body=body, key=key)).content


async def ask(
    request: Request,
    method: str,
    path: str,
    *,
    query: Query | None = None,
    body: Mapping[str, Any] | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> RouteAnswer:
    """Return what the API answers to one request. Raises Problem for what it refuses."""
    content = b"" if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **({KEY.lower(): key} if key else {}), **(headers or {})}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": request.url.scheme,
        "path": f"/v1{path}",
        "raw_path": quote(f"/v1{path}").encode(),
        "root_path": "",
        "query_string": urlencode(query or {}, doseq=True).encode(),
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in sent.items()
        ],
        "client": request.scope.get("client"),
        "server": request.scope.get("server"),
        "state": {"token": request.state.token},
    }
    answer = await _call(request.app.state.api, scope, content)
    if answer.status >= 400:
        raise _problem(answer)
    return answer


async def _call(app: ASGIApp, scope: Scope, content: bytes) -> RouteAnswer:
    sent: list[Message] = []
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent[1:])
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return RouteAnswer(sent[0]["status"], json.loads(body), headers)


def _problem(answer: RouteAnswer) -> Problem:
    content = answer.content
    details = {**content["details"], "faults": content["faults"]}
    return Problem(content["code"], content["detail"], status=answer.status, details=details)
