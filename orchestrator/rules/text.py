"""Which characters text from outside may contain, how it is cleaned, and how it is shown; which texts are names.

Three places use one table: jobs refuse such characters, answers of platforms lose them, output escapes them.
"""

import re
from datetime import UTC, datetime
from typing import Any
from unicodedata import category

#: Unicode categories that no line of text contains: controls, lone surrogates, line and paragraph separators.
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Characters that change the direction of the text around them (Unicode Standard Annex 9, section 2).
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Control characters that a text of several lines may contain.
_LAYOUT = frozenset("\n\t\r")
#: How texts begin that spreadsheets take for formulas, also in the wide letters of East Asian keyboards.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
#: Replaces characters that cannot be stored or shown (U+FFFD).
REPLACEMENT = "\ufffd"
MAX_NAME = 100
MAX_DESCRIPTION = 200
#: Longer than the id of any known platform; an index of PostgreSQL holds at most about 2,700 bytes.
MAX_HANDLE = 500


def numbered(count: int, one: str, many: str = "") -> str:
    """Return the count with its noun: `1 session`, `2 sessions`; `many` is a plural that does not just add an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def is_line(text: str) -> bool:
    """Return whether `text` has neither control characters nor direction overrides, and no line breaks."""
    return (text.isascii() and text.isprintable()) or not any(map(is_unsafe, text))


def is_text(text: str) -> bool:
    """Return whether `text` has neither control characters nor direction overrides; line breaks and tabs may be."""
    return not any(is_unsafe(character) and character not in _LAYOUT for character in text)


def is_unsafe(character: str) -> bool:
    """Return whether this character could move a terminal's cursor or reorder the text around it."""
    return character in _BIDI or category(character) in _CONTROLS


def clean(text: str) -> str:
    """Return `text` with U+FFFD for each control character and lone surrogate: databases refuse some of them."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_cleaned(character) for character in text)


def escape(text: str) -> str:
    """Return `text` fit for a terminal: each unsafe character as its escape, such as `\\x1b`; line breaks stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def escape_json(document: str) -> str:
    """Return a JSON document with each unsafe character inside its strings as `\\uXXXX`: the same JSON."""
    if document.isascii():
        return document.replace("\x7f", "\\u007f")
    return "".join(
        f"\\u{ord(character):04x}" if is_unsafe(character) and character not in _LAYOUT else character
        for character in document
    )


def csv_cell(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would run as a formula: such a text may come from others.
    Leave numbers as they are."""
    if not isinstance(value, str):
        return value
    cell = escape(value)
    is_formula = cell.lstrip().startswith(_FORMULAS) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def _cleaned(character: str) -> str:
    unstorable = category(character) in {"Cc", "Cs"} and character not in _LAYOUT
    return REPLACEMENT if unstorable else character


def _escaped(character: str) -> str:
    if not is_unsafe(character) or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


def generate_name(now: datetime, session_id: str) -> str:
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
