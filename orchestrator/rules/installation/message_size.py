"""How much a message may hold: bytes, and JSON values, counted before anything is parsed. Some 16 KiB of a compressed
body are 16 MiB of JSON, and these two gigabytes of objects."""

from orchestrator.rules.installation.messages import UnreadableMessage

#: Largest raw entry in bytes that is read at all.
LARGEST_ENTRY = 16 * 2**20
#: Largest body in bytes, without its compression and base64: a full batch of interactions has up to half of it.
LARGEST_BODY = 8 * 2**20
#: Most values in one document: a full batch of interactions has a third of them.
MOST_VALUES = 200_000
#: Every value but the first follows one of these, or is in an empty object or list. Those in texts count too.
_BEFORE_A_VALUE = ",[{"


def check_entry(entry: bytes | str) -> None:
    """Check an entry of a queue before it is parsed. Raises UnreadableMessage."""
    if len(entry) > LARGEST_ENTRY:
        raise UnreadableMessage(f"the message is larger than {LARGEST_ENTRY} bytes")
    check_values(entry, "message")


def check_body(body: object) -> None:
    """Check a body before it is parsed. Raises UnreadableMessage. Only what can hold JSON is checked."""
    text = body.tobytes() if isinstance(body, memoryview) else body
    if not isinstance(text, bytes | bytearray | str):
        return
    if len(text) > LARGEST_BODY:
        raise UnreadableMessage(f"the body is larger than {LARGEST_BODY} bytes")
    check_values(text, "body")


def check_values(text: bytes | bytearray | str, what: str) -> None:
    """Check that a document has not too many values. Raises UnreadableMessage."""
    if isinstance(text, str):
        count = sum(map(text.count, _BEFORE_A_VALUE))
    else:
        count = sum(text.count(mark.encode()) for mark in _BEFORE_A_VALUE)
    if count > MOST_VALUES:
        raise UnreadableMessage(f"the {what} has more than {MOST_VALUES} values")
