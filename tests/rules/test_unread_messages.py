"""Reasons of parked messages are plain English, and the operator's page explains each."""

from pathlib import Path

import pytest

from orchestrator.rules.installation.unread_messages import OTHER, REASONS, reason_in_words

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        pytest.param(["JSONDecodeError"], "the message is not valid JSON", id="an entry"),
        pytest.param(["DecodeError", "JSONDecodeError"], "the message's body cannot be decoded", id="a body"),
        pytest.param(["DecodeError", "RecursionError"], "the message is nested too deeply", id="a deep body"),
        pytest.param(["KeyError"], OTHER, id="any other"),
        pytest.param([], OTHER, id="nothing"),
    ],
)
def test_a_reason_is_plain_english(raised: list[str], reason: str) -> None:
    assert reason_in_words(raised) == reason


def test_no_reason_is_the_name_of_a_class() -> None:
    for reason in (*REASONS.values(), OTHER):
        assert reason.startswith("the message")
        assert not any(name in reason for name in REASONS if name != "error")


def test_the_page_for_operators_names_every_reason() -> None:
    page = PAGE.read_text()
    missing = [reason for reason in (*REASONS.values(), OTHER) if f"`{reason}`" not in page]
    assert missing == []
