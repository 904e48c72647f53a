"""The names that we give to endpoints: at most 32 small letters, digits and dashes, and readable again.

A placement's id is longer than that. A UUID is written as 26 characters of base 32; another text with a zero before it,
a digit that base 32 does not have."""

import base64
import binascii
import re
import uuid

from orchestrator.providers.port.errors import Misconfigured

#: The longest name that the platform's own form accepts.
LONGEST = 32
PREFIX = re.compile(r"[a-z][a-z0-9]{0,3}-")
_TEXT = "0"


def name_of(prefix: str, name: str) -> str:
    """Return the endpoint's name for an order's name. Raises Misconfigured for one that does not fit."""
    try:
        written = _written(uuid.UUID(name).bytes) if _is_uuid(name) else _TEXT + _written(name.encode())
    except UnicodeEncodeError as error:
        raise Misconfigured("the placement's id is not valid Unicode text") from error
    if len(prefix + written) > LONGEST:
        raise Misconfigured(
            f"the name {name} does not fit into the {LONGEST} characters of an endpoint's name"
        )
    return prefix + written


def order_name(prefix: str, endpoint: str) -> str | None:
    """Return the order's name that an endpoint's name was made from; None if it is none of ours."""
    if not endpoint.startswith(prefix):
        return None
    written = endpoint.removeprefix(prefix)
    try:
        if written.startswith(_TEXT):
            name = _read(written.removeprefix(_TEXT)).decode()
        else:
            name = str(uuid.UUID(bytes=_read(written)))
    except (ValueError, binascii.Error):
        return None
    return name if name and name_of(prefix, name) == endpoint else None


def _is_uuid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _written(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _read(written: str) -> bytes:
    return base64.b32decode(written.upper() + "=" * (-len(written) % 8))
