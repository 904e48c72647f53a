from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.eligibility import ineligible_because, parse_size
from orchestrator.rules.names import description_fault, generate, name_fault
from orchestrator.rules.quota import (
    Usage,
    check_concurrent,
    check_nodes,
    check_total,
    in_cleanup_debt,
    nodes_allowed,
)
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.values import ModelSource, ModelType
from tests.rules.builders import CONTRACT, MINUTE, PAYG, POLICY, T0, TICK, a_model

UNBOUND = CONTRACT


@pytest.mark.parametrize(
    ("card", "plan_allows", "contract_allows"),
    [(None, 2, None), (1, 1, 1), (8, 2, 8)],
    ids=["no card", "low", "high"],
)
def test_plan_and_card_bound_the_nodes_together(
    card: int | None, plan_allows: int, contract_allows: int
) -> None:
    assert nodes_allowed(PAYG, card) == plan_allows
    assert nodes_allowed(UNBOUND, card) == contract_allows


def test_nodes_within_the_bounds_pass() -> None:
    assert check_nodes(PAYG, 8, 2) is None
    assert check_nodes(UNBOUND, None, 99) is None


@pytest.mark.parametrize(
    ("card", "whose"), [(None, "plan payg allows 2"), (1, "the model's provider allows 1")]
)
def test_too_many_nodes_are_refused(card: int | None, whose: str) -> None:
    refusal = check_nodes(PAYG, card, 3)
    assert refusal is not None
    assert refusal.code is ErrorCode.QUOTA_NODES_EXCEEDED
    assert whose in refusal.message
    assert refusal.details == {"limit": card or 2, "used": 3}


def test_the_total_counts_everything_that_is_not_deleted() -> None:
    assert check_total(PAYG, Usage(19, 0, 0)) is None
    assert check_total(UNBOUND, Usage(1000, 0, 0)) is None
    refusal = check_total(PAYG, Usage(20, 0, 0))
    assert refusal is not None
    assert refusal.code is ErrorCode.QUOTA_TOTAL_EXCEEDED
    assert refusal.details == {"limit": 20, "used": 20}
    assert "20 sessions and plan payg allows 20" in refusal.message


@pytest.mark.parametrize(
    ("plan", "concurrent", "ahead", "newcomer", "says"),
    [
        pytest.param(PAYG, 1, 0, True, None, id="a free slot"),
        pytest.param(PAYG, 2, 0, True, "plan payg allows 2 at once", id="no free slot"),
        pytest.param(PAYG, 2, 0, False, "plan payg allows 2 at once", id="nor for one that waited"),
        pytest.param(
            PAYG, 1, 3, True, "3 sessions of the account are queued", id="a newcomer does not overtake"
        ),
        pytest.param(PAYG, 1, 3, False, None, id="one that waited has its turn"),
        pytest.param(UNBOUND, 99, 0, True, None, id="no quota"),
        pytest.param(UNBOUND, 99, 1, True, "queued", id="nobody overtakes, quota or not"),
    ],
)
def test_concurrent_sessions(
    plan: Any, concurrent: int, ahead: int, newcomer: bool, says: str | None
) -> None:
    refusal = check_concurrent(plan, Usage(5, concurrent, ahead), newcomer=newcomer)
    if says is None:
        assert refusal is None
        return
    assert refusal is not None
    assert refusal.code is ErrorCode.QUOTA_CONCURRENT_EXCEEDED
    assert says in refusal.message
    assert refusal.details == {"limit": plan.max_concurrent, "used": concurrent, "queue_ahead": ahead}


def test_a_close_unproven_for_long_is_our_debt() -> None:
    assert not in_cleanup_debt(None, T0, POLICY)
    assert not in_cleanup_debt(T0, T0 + 10 * MINUTE, POLICY)
    assert in_cleanup_debt(T0, T0 + 10 * MINUTE + TICK, POLICY)


# eligibility

PRIVATE: dict[str, Any] = {
    "source": ModelSource.PRIVATE,
    "owner": "acme",
    "files_uploaded": True,
    "tags": ("ready",),
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a model of the catalog"),
        pytest.param(
            {"type": ModelType.VLM, "learning_stage": "instruction-TUNED"}, id="the stage without case"
        ),
        pytest.param(
            {"type": ModelType.ASR, "size": "", "learning_stage": ""}, id="speech has no size and stage"
        ),
        pytest.param(PRIVATE, id="a private model of its owner"),
    ],
)
def test_eligible(changes: dict[str, Any]) -> None:
    assert ineligible_because(a_model(**changes), "acme", ["ready"]) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"size": "big"}, "its size 'big' is no number of parameters above zero (like 8B)", id="junk"
        ),
        pytest.param(
            {"size": "0B"}, "its size '0B' is no number of parameters above zero (like 8B)", id="zero"
        ),
        pytest.param(
            {"learning_stage": "Base"},
            "its learning stage is 'Base', it must be Instruction-tuned",
            id="a base model",
        ),
        pytest.param(PRIVATE | {"owner": "other"}, "it is private to another account", id="another's"),
        pytest.param(PRIVATE | {"owner": None}, "it is private to another account", id="nobody's"),
        pytest.param(PRIVATE | {"files_uploaded": False}, "its files are not uploaded yet", id="no files"),
        pytest.param(PRIVATE | {"tags": ("new",)}, "it lacks the tags ready", id="no tag"),
    ],
)
def test_ineligible(changes: dict[str, Any], reason: str) -> None:
    assert ineligible_because(a_model(**changes), "acme", ["ready"]) == [reason]


def test_every_reason_is_told() -> None:
    model = a_model(size="?", learning_stage="?", source=ModelSource.PRIVATE)
    assert len(ineligible_because(model, "acme", ["ready"])) == 5


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8B", 8 * 10**9),
        ("0.5b", 5 * 10**8),
        (" 350 M ", 350 * 10**6),
        ("1.5T", 15 * 10**11),
        ("12k", 12_000),
        ("8x7B", 56 * 10**9),
        (".5B", 5 * 10**8),
        ("7", 7),
        ("0", 0),
        ("", None),
        ("B", None),
        ("8 GB", None),
        ("-8B", None),
        ("1.2.3B", None),
        ("NaN", None),
        ("٨B", None),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int | None) -> None:
    assert parse_size(text) == (None if size is None else Decimal(size))


# names


def test_a_generated_name_tells_when_and_ends_in_the_id() -> None:
    now = datetime(2025, 9, 15, 17, 59, 55, tzinfo=timezone(timedelta(hours=2)))
    name = generate(now, "5f0c0001-0000-4000-8000-00000000-1f3a")
    assert name == "int.session_20250915155955-1f3a"
    assert name_fault(name) is None


@pytest.mark.parametrize("name", ["a", "x" * 100, "two words", "mañana 東京 🎉"])
def test_good_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "1 to 100"),
        ("x" * 101, "this one has 101"),
        (" a", "white space"),
        ("a\n", "white space"),
        ("\u00a0a", "white space"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "control"),
    ],
)
def test_bad_names(name: str, says: str) -> None:
    assert says in (name_fault(name) or "")


def test_descriptions() -> None:
    assert description_fault("") is None
    assert description_fault("two\r\n\tlines") is None
    assert description_fault("x" * 200) is None
    assert "this one has 201" in (description_fault("x" * 201) or "")
    assert "control" in (description_fault("a\x00") or "")
