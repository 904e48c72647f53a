"""One request to the HTTP API, and how one is built."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from orchestrator.client.base import Part
from orchestrator.client.outcomes import plain

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiCall(Generic[T]):
    """One request, and the shape of its answer."""

    method: str
    path: str
    returns: type[T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    changes_nothing: bool = False
    """It only reads, though it is no GET."""

    @property
    def is_repeatable(self) -> bool:
        """Whether a second one does no harm: it only reads, or its key makes both one."""
        return self.method == "GET" or self.changes_nothing or "Idempotency-Key" in self.headers

    def behind(self, cursor: str) -> "ApiCall[T]":
        """Return the request for the page that begins there."""
        return replace(self, query={**self.query, "after": cursor})


def read(path: str, returns: type[T], query: Mapping[str, Any] | None = None) -> ApiCall[T]:
    """Return a request that reads."""
    return ApiCall(method="GET", path=path, returns=returns, query=_given(query))


def ask(path: str, returns: type[T], body: Mapping[str, Any]) -> ApiCall[T]:
    """Return a request that has a body, and changes nothing."""
    return ApiCall(method="POST", path=path, returns=returns, body=body, changes_nothing=True)


def job(
    method: str,
    path: str,
    returns: type[T],
    body: Mapping[str, Any] | None,
    key: str | None,
    query: Mapping[str, Any] | None = None,
) -> ApiCall[T]:
    """Return a request that changes something, under this key or a new one."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return ApiCall(method=method, path=path, returns=returns, query=_given(query), body=body, headers=headers)


def content(request: Part, *without: str) -> dict[str, Any]:
    """Return the body of a request, without the fields that the path has."""
    return request.model_dump(mode="json", exclude_defaults=True, exclude=set(without))


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _given(query: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {name: plain(value) for name, value in (query or {}).items() if value not in (None, [])}
