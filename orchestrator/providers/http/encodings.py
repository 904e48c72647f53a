"""Bodies that a platform compressed although only `identity` was asked for: decode them within a bound, or refuse
them."""

import zlib
from collections.abc import Mapping

#: Window sizes that zlib reads: 16 + the largest for gzip; for deflate, with its header (RFC 1950) and, as some
#: servers send it, without (RFC 1951).
_GZIP = (16 + zlib.MAX_WBITS,)
_DEFLATE = (zlib.MAX_WBITS, -zlib.MAX_WBITS)
_WINDOWS: Mapping[str, tuple[int, ...]] = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _DEFLATE}


class UnreadableBody(ValueError):
    """The body has an encoding that was not asked for and cannot be decoded."""


def encoding_of(headers: Mapping[str, str]) -> str | None:
    """Return the one encoding of a body that `decode` can read; None for none. Raises Unreadable for all others.

    Several layers are refused: each can multiply the size by a thousand."""
    layers = [layer.strip().lower() for layer in headers.get("content-encoding", "").split(",")]
    named = [layer for layer in layers if layer not in ("", "identity")]
    if not named:
        return None
    if len(named) > 1 or named[0] not in _WINDOWS:
        shown = ", ".join(named)[:80]
        raise UnreadableBody(f"the body is encoded as {shown!r}, which was not asked for")
    return named[0]


def decode(body: bytes, encoding: str, bound: int) -> tuple[bytes, bool]:
    """Return at most `bound` bytes of the decoded body, and whether there is more. Raises UnreadableBody.

    `bound` also limits time and memory, whatever size the body would unpack to."""
    for window in _WINDOWS[encoding]:
        decoder = zlib.decompressobj(window)
        try:
            decoded = decoder.decompress(body, bound + 1)
        except zlib.error:
            continue
        return decoded[:bound], len(decoded) > bound
    raise UnreadableBody(f"the body says that it is {encoding} and is not")
