"""What sessions may be called."""

from datetime import UTC, datetime
from unicodedata import category

MAX_NAME = 100
MAX_DESCRIPTION = 200

#: Unicode categories that no line of text contains: controls, lone surrogates, breaks of line and paragraph.
_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def generate(now: datetime, session_id: str) -> str:
    """A name for who gave none; it ends in part of the session id, so that two of one second differ."""
    return f"int.session_{now.astimezone(UTC):%Y%m%d%H%M%S}-{session_id.replace('-', '')[-4:]}"


def name_fault(name: str) -> str | None:
    """What is wrong with a name, as a sentence; None if nothing is. Names are kept exactly as given."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"a name has 1 to {MAX_NAME} characters, this one has {len(name)}"
    if name != name.strip():
        return "a name neither begins nor ends with white space"
    if any(category(character) in _UNWRITABLE for character in name):
        return "a name has no control characters"
    return None


def description_fault(text: str) -> str | None:
    """What is wrong with a description; None if nothing is. It may have several lines."""
    if len(text) > MAX_DESCRIPTION:
        return f"a description has at most {MAX_DESCRIPTION} characters, this one has {len(text)}"
    if any(category(character) in _UNWRITABLE and character not in "\n\t\r" for character in text):
        return "a description has no control characters other than line breaks and tabs"
    return None
