"""Where a page begins, as an opaque text."""

import base64
import binascii
from datetime import UTC, datetime

from orchestrator.client.parsing import InvalidRequest, RequestFault
from orchestrator.store.queries.pages import Behind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encoded(*parts: str) -> str:
    """Return an opaque text of these parts."""
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decoded(cursor: str, parts: int) -> list[str]:
    """Return the parts of an opaque text. Raises InvalidRequest if it is not one of ours."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _invalid() from None
    found = text.split("\n")
    if len(found) != parts or not text.isascii() or not all(part.isprintable() for part in found):
        raise _invalid()
    return found


def cursor_of(behind: Behind | None) -> str | None:
    """Return the cursor of the page behind this row; None if there is none."""
    if behind is None:
        return None
    return encoded(str((behind.at - _EPOCH) // _EPOCH.resolution), behind.id)


def behind_of(cursor: str | None) -> Behind | None:
    """Return the row behind which the page begins. Raises InvalidRequest if the cursor is not one of ours."""
    if cursor is None:
        return None
    micros, row_id = decoded(cursor, 2)
    try:
        return Behind(_EPOCH + int(micros) * _EPOCH.resolution, row_id)
    except (ValueError, OverflowError):
        raise _invalid() from None


def _invalid() -> InvalidRequest:
    return InvalidRequest([RequestFault(("after",), "must be the `next` of an earlier page", "cursor")])
