"""Which fallback step follows which refusal."""

import pytest

from orchestrator.providers.chat.token_limits import (
    BodyVariant,
    BodyVariants,
    first_variant,
    ran_out_of_tokens,
)

OLD, NEW = "max_tokens", "max_completion_tokens"
USE_NEW = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
FORBIDDEN = "extra_forbidden body.max_completion_tokens: Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("start", "refusals", "expected"),
    [
        pytest.param("max_tokens:16", [USE_NEW], "max_completion_tokens:16", id="the new name"),
        pytest.param("max_completion_tokens:16", [FORBIDDEN], "max_tokens:16", id="back to the old name"),
        pytest.param("max_completion_tokens:16", ["max_tokens is required"], "max_tokens:16", id="required"),
        pytest.param(
            "max_tokens:16", ["Invalid 'max_tokens': Expected a value >= 32"], "max_tokens:32", id="more"
        ),
        pytest.param("max_tokens:16", ["max_tokens must be at least 20"], "max_tokens:20", id="at least"),
        pytest.param("max_tokens:16", ["expected a value >= 5000"], "max_tokens:256", id="up to the cap"),
        pytest.param(
            "max_tokens:16",
            [USE_NEW, "max_completion_tokens: expected a value >= 64"],
            "max_completion_tokens:64",
            id="the new name, then more",
        ),
        pytest.param("max_tokens:16", ["no such thing"], None, id="nothing to learn"),
        pytest.param("max_tokens:16", [USE_NEW, FORBIDDEN], None, id="each name once"),
        pytest.param(
            "max_tokens:16", ["expected a value >= 32", "expected a value >= 64"], None, id="more only once"
        ),
        pytest.param("max_tokens:300", ["expected a value >= 5000"], None, id="above the cap already"),
    ],
)
def test_the_fallbacks(start: str, refusals: list[str], expected: str | None) -> None:
    variants = BodyVariants(first_variant(start, 1), most_tokens=256)
    accepted = [variants.fall_back(text) for text in refusals]
    assert (str(variants.current) if accepted[-1] else None) == expected


@pytest.mark.parametrize(
    ("variant", "tokens", "expected"),
    [
        (None, 16, BodyVariant(OLD, 16)),
        ("max_completion_tokens:64", 16, BodyVariant(NEW, 64)),
        ("max_tokens:16", 32, BodyVariant(OLD, 32)),
        ("nonsense", 16, BodyVariant(OLD, 16)),
        ("max_tokens:many", 16, BodyVariant(OLD, 16)),
    ],
)
def test_the_first_variant(variant: str | None, tokens: int, expected: BodyVariant) -> None:
    assert first_variant(variant, tokens) == expected


def test_who_spent_all_tokens_lives() -> None:
    assert ran_out_of_tokens(
        "Could not finish the message because max_tokens or model output limit was reached."
    )
    assert not ran_out_of_tokens("max_tokens is too large")
