"""What goes in and out: a request as a platform reads it, an answer before it is sent."""

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.simulator.values import Upstream


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request, read to its end."""

    seq: int
    upstream: Upstream
    operation: str
    key: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    #: what follows the upstream's name in the URL
    path: str = ""
    #: the parts of the path that the route names
    named: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, bytes] = field(default_factory=dict)
    #: None if the body was empty or no JSON
    json: Any = None
    #: what it is about, as far as the request says
    session: str | None = None
    model: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON body where it is an object; nothing otherwise."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def streams(self) -> bool:
        return self.fields.get("stream") is True


class Delivery(enum.Enum):
    """How much of an answer reaches the caller."""

    WHOLE = "whole"
    HALF = "half"
    CUT = "cut"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, what it did, and how it is delivered."""

    status: int = 200
    payload: Any = None
    #: sent one by one instead of the payload
    chunks: Iterable[bytes] | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    #: seconds between the effect and the answer
    delay: float = 0
    #: the outcome cannot be read from it
    garbled: bool = False
    effect: str | None = None
    session: str | None = None

    def body(self) -> bytes:
        """Return the whole body; only for answers that fit in memory."""
        if self.chunks is not None:
            return b"".join(self.chunks)
        return b"" if self.payload is None else json.dumps(self.payload).encode()

    @property
    def answered(self) -> bool:
        return self.delivery is Delivery.WHOLE and not self.garbled


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error before a platform puts it in its own words."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None

    def as_openai(self) -> Reply:
        """Return the error body that most platforms share."""
        body = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return Reply(status=self.status, payload={"error": body})


def events(payloads: Iterable[Any]) -> Reply:
    """Return server-sent events, as chat completions stream them."""
    chunks = tuple(f"data: {json.dumps(payload)}\n\n".encode() for payload in payloads)
    return Reply(chunks=(*chunks, b"data: [DONE]\n\n"), content_type="text/event-stream")


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token of an Authorization header."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
