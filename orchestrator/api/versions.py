"""`ETag` and `If-Match`: change only the version that was read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request

from orchestrator.client.outcomes import plain
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.transaction import Precondition, Transaction

Representation = Mapping[str, Any]


def etag_of(content: Representation) -> str:
    """Return the version of this content."""
    canonical = json.dumps(plain(content), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"'


def unchanged(
    request: Request, current: Callable[[Transaction], Representation | None]
) -> Precondition | None:
    """Return the condition that `If-Match` and `If-None-Match` set; None if the request has neither.

    `current`: locks the row and returns what is put there; None if there is none."""
    match, no_match = _joined(request, "if-match"), _joined(request, "if-none-match")
    if match is None and no_match is None:
        return None

    def check(tx: Transaction) -> None:
        content = current(tx)
        version = None if content is None else etag_of(content)
        if match is not None and not _names(match, version):
            raise _failed("it has changed since it was read" if version else "it does not exist")
        if no_match is not None and _names(no_match, version):
            raise _failed("it exists already")

    return check


def _joined(request: Request, name: str) -> str | None:
    """Return a header that may be sent as several lines."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def _names(header: str, version: str | None) -> bool:
    if version is None:
        return False
    named = {one.strip() for one in header.split(",")}
    return "*" in named or version in named


def _failed(why: str) -> Refusal:
    message = (
        f"nothing was changed: {why}. Read it again, and repeat the request with the new ETag and a new key"
    )
    return Refusal(ErrorCode.PRECONDITION_FAILED, message)
