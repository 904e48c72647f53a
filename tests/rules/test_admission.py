from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.admission.eligibility import ineligible_because, parse_size
from orchestrator.rules.admission.quota import (
    AccountTerms,
    Usage,
    check_concurrent,
    check_nodes,
    check_nodes_total,
    check_total,
    counted_at_admission,
    counted_at_creation,
    is_queued,
    keeps_waiting,
    nodes_allowed,
    terms_of,
)
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.text import generate_name, line_fault
from orchestrator.rules.values import Account, ModelSource, ModelType, OnQuota
from tests.rules.builders import CONTRACT, T0, a_model
from tests.rules.builders import PAYG as PLAIN

PAYG, UNBOUND = AccountTerms(plan=PLAIN), AccountTerms(plan=CONTRACT)


def an_account(**changes: Any) -> Account:
    return Account(id="acme", plan="payg", currency="USD", balance=Decimal(0), created_at=T0, **changes)


@pytest.mark.parametrize(
    ("card", "plan_allows", "contract_allows"),
    [(None, 2, None), (1, 1, 1), (8, 2, 8)],
    ids=["no card", "low", "high"],
)
def test_plan_and_card_bound_the_nodes_together(
    card: int | None, plan_allows: int, contract_allows: int
) -> None:
    assert nodes_allowed(PAYG.plan, card) == plan_allows
    assert nodes_allowed(UNBOUND.plan, card) == contract_allows


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
    assert check_total(PAYG, Usage(total=19)) is None
    assert check_total(UNBOUND, Usage(total=1000)) is None
    refusal = check_total(PAYG, Usage(total=20))
    assert refusal is not None
    assert refusal.code is ErrorCode.QUOTA_TOTAL_EXCEEDED
    assert refusal.details == {"limit": 20, "used": 20}
    assert "20 sessions and plan payg allows 20" in refusal.message


@pytest.mark.parametrize(
    ("plan", "concurrent", "ahead", "says"),
    [
        pytest.param(PAYG, 1, 0, None, id="a free slot"),
        pytest.param(PAYG, 2, 0, "plan payg allows 2 at once", id="no free slot"),
        pytest.param(PAYG, 1, 3, "queued before this one: 3", id="no newcomer overtakes"),
        pytest.param(UNBOUND, 99, 0, None, id="no quota"),
        pytest.param(UNBOUND, 99, 1, "queued", id="no newcomer overtakes, quota or not"),
    ],
)
def test_concurrent_sessions(plan: AccountTerms, concurrent: int, ahead: int, says: str | None) -> None:
    refusal = check_concurrent(plan, Usage(total=5, concurrent=concurrent, queue_ahead=ahead))
    if says is None:
        assert refusal is None
        return
    assert refusal is not None
    assert says in refusal.message
    if ahead:
        assert refusal.code is ErrorCode.QUEUE_AHEAD
        assert refusal.details == {"queue_ahead": ahead}
    else:
        assert refusal.code is ErrorCode.QUOTA_CONCURRENT_EXCEEDED
        limits = {"limit": plan.plan.max_concurrent, "used": concurrent, "queue_ahead": ahead}
        assert refusal.details == limits


def test_nodes_in_total_count_what_is_in_use() -> None:
    terms = AccountTerms(plan=replace(PLAIN, max_nodes_total=4))
    assert check_nodes_total(terms, Usage(nodes=2), 2) is None
    assert check_nodes_total(UNBOUND, Usage(nodes=200), 2) is None
    refusal = check_nodes_total(terms, Usage(nodes=3), 2)
    assert refusal is not None
    assert refusal.code is ErrorCode.QUOTA_NODES_EXCEEDED
    assert "3 are in use" in refusal.message
    assert "plan payg allows 4 in total" in refusal.message
    assert refusal.details == {"limit": 4, "used": 3, "nodes": 2}


def test_more_nodes_than_the_total_can_never_start() -> None:
    refusal = check_nodes(AccountTerms(plan=replace(CONTRACT, max_nodes_total=4)), None, 5)
    assert refusal is not None
    assert "plan contract allows 4 in total" in refusal.message


def test_an_account_without_numbers_of_its_own_has_its_plans() -> None:
    assert terms_of(PLAIN, an_account()) == AccountTerms(plan=PLAIN)


def test_an_accounts_own_numbers_are_laid_over_its_plans() -> None:
    own = an_account(quota={"max_sessions": 50, "max_concurrent": None}, overdraft_limit=Decimal(9))
    terms = terms_of(PLAIN, own)
    assert terms.plan == replace(PLAIN, max_sessions=50, max_concurrent=None, overdraft_limit=Decimal(9))
    assert terms.own == {"max_sessions", "max_concurrent", "overdraft_limit"}
    assert check_concurrent(terms, Usage(concurrent=1000)) is None
    refusal = check_total(terms, Usage(total=50))
    assert refusal is not None
    assert "the account's own quota allows 50" in refusal.message


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
            {"size": "big"}, "its size 'big' is not a positive parameter count such as 8B", id="junk"
        ),
        pytest.param({"size": "0B"}, "its size '0B' is not a positive parameter count such as 8B", id="zero"),
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


def test_every_reason_is_reported() -> None:
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
    name = generate_name(now, "5f0c0001-0000-4000-8000-00000000-1f3a")
    assert name == "int.session_20250915155955-1f3a"
    assert line_fault(name) is None


def test_a_session_remembers_what_it_was_counted_against() -> None:
    assert counted_at_creation(PLAIN, Usage(total=3)) == {"max_sessions": 20}
    assert counted_at_creation(PLAIN, Usage(total=3, debt=2)) == {"max_sessions": 22}, (
        "they count again later"
    )
    assert counted_at_creation(CONTRACT, Usage()) == {}
    before = {"max_sessions": 7, "max_concurrent": 9}
    assert counted_at_admission(PLAIN, before) == {"max_sessions": 7, "max_concurrent": 2, "max_nodes": 2}
    assert counted_at_admission(CONTRACT, {}) == {}


@pytest.mark.parametrize(
    ("code", "queued", "waits"),
    [
        (ErrorCode.NO_CAPACITY, True, True),
        (ErrorCode.QUEUE_AHEAD, True, True),
        (ErrorCode.QUOTA_NODES_EXCEEDED, False, True),
        (ErrorCode.QUOTA_TOTAL_EXCEEDED, False, False),
        (ErrorCode.MODEL_NOT_ELIGIBLE, False, False),
    ],
)
def test_what_a_session_waits_for(code: ErrorCode, queued: bool, waits: bool) -> None:
    assert is_queued(code, OnQuota.QUEUE) is queued
    assert not is_queued(code, OnQuota.REJECT)
    assert keeps_waiting(code) is waits
