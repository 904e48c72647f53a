"""Which names sessions may have, the name of one without, and which ids of providers can be used."""

from datetime import UTC, datetime

from orchestrator.rules.text import REPLACEMENT, is_line, is_text

MAX_NAME = 100
MAX_DESCRIPTION = 200
#: Longer than the id of any known platform; an index of PostgreSQL holds at most about 2,700 bytes.
MAX_HANDLE = 500


def generate(now: datetime, session_id: str) -> str:
    """Return a name with a part of the session id at its end, so that two names of the same second differ."""
    return f"int.session_{now.astimezone(UTC):%Y%m%d%H%M%S}-{session_id.replace('-', '')[-4:]}"


def line_fault(text: str) -> str | None:
    """Return what is wrong with a text of one line, as a sentence; None if nothing is."""
    if text != text.strip():
        return "must neither begin nor end with white space"
    if not is_line(text):
        return "must be one line without control characters and direction overrides"
    return None


def text_fault(text: str) -> str | None:
    """Return what is wrong with a text of several lines, as a sentence; None if nothing is."""
    if not is_text(text):
        return "must have no control characters (other than line breaks and tabs) and no direction overrides"
    return None


def is_usable_handle(handle: str) -> bool:
    """Return whether a provider's id of a session can be stored, shown and sent back as it is."""
    return 0 < len(handle) <= MAX_HANDLE and is_line(handle) and REPLACEMENT not in handle
