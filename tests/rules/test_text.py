"""Text from outside: what is refused, what is cleaned, and what a terminal shows."""

import json
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.text import (
    MAX_HANDLE,
    REPLACEMENT,
    clean,
    csv_cell,
    escape,
    escape_json,
    is_line,
    is_text,
    is_unsafe,
    is_usable_handle,
    line_fault,
    numbered,
    text_fault,
)

#: Any text, including what Python may hold and UTF-8 may not.
ANY = st.text(st.characters(codec=None))


@pytest.mark.parametrize("text", ["a", "x" * 100, "two words", "mañana 東京 🎉", "👩\u200d🚀", ""])
def test_good_lines(text: str) -> None:
    assert line_fault(text) is None
    assert (clean(text), escape(text)) == (text, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" a", "white space"),
        ("a\n", "white space"),
        ("\u00a0a", "white space"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x1b[2Jb", "control"),
        ("a\x9bb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "control"),
        ("a\u202eb", "direction"),
        ("a\u2066b", "direction"),
    ],
)
def test_bad_lines(text: str, says: str) -> None:
    assert says in (line_fault(text) or "")


@pytest.mark.parametrize("text", ["", "two\r\n\tlines", " indented"])
def test_good_texts(text: str) -> None:
    assert text_fault(text) is None


@pytest.mark.parametrize("text", ["a\x00", "\x1b]0;title\x07", "\u202e", "\ud800", "a\x85b"])
def test_bad_texts(text: str) -> None:
    assert "control" in (text_fault(text) or "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202egpj", "\\u202egpj"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("back\rover", "back\\rover"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(ANY)
def test_escaped_text_is_safe_and_idempotent(text: str) -> None:
    shown = escape(text)
    assert not any(is_unsafe(character) for character in shown if character not in "\n\t")
    assert escape(shown) == shown


@given(ANY)
def test_cleaned_text_can_be_stored_and_keeps_its_length(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert len(cleaned) == len(text)
    assert not any(category(character) == "Cc" and character not in "\n\t\r" for character in cleaned)
    assert all(new in (old, REPLACEMENT) for old, new in zip(text, cleaned, strict=True))


@given(st.dictionaries(ANY, ANY))
def test_escaped_json_is_the_same_json(value: dict[str, str]) -> None:
    document = escape_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(document) == value
    assert not any(is_unsafe(character) for character in document if character != "\n")


@given(ANY)
def test_a_good_line_is_a_good_text(text: str) -> None:
    assert is_text(text) or not is_line(text)


@pytest.mark.parametrize(
    ("handle", "usable"),
    [
        ("5f0c-1", True),
        ("0x" + "a" * 64, True),
        ("x" * MAX_HANDLE, True),
        ("x" * (MAX_HANDLE + 1), False),
        ("", False),
        ("a\nb", False),
        (f"a{REPLACEMENT}b", False),
        ("a\x00b", False),
    ],
)
def test_handles_that_can_be_stored_and_sent_back(handle: str, usable: bool) -> None:
    assert is_usable_handle(handle) is usable


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=SUM(A1)", "'=SUM(A1)"),
        (" @here", "' @here"),
        ("\uff1dA1", "'\uff1dA1"),
        ("-1.50", "-1.50"),
        ("+12", "+12"),
        ("-1.50x", "'-1.50x"),
        ("plain", "plain"),
        ("\x1b[2J", "\\x1b[2J"),
        (7, 7),
        (None, None),
    ],
)
def test_a_cell_of_csv_is_no_formula(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize(
    ("count", "many", "said"),
    [
        (0, "", "0 sessions"),
        (1, "", "1 session"),
        (2, "", "2 sessions"),
        (1, "X", "1 session"),
        (2, "X", "2 X"),
    ],
)
def test_a_count_is_shown_with_its_noun(count: int, many: str, said: str) -> None:
    assert numbered(count, "session", many) == said
