"""What leaves at once, the contents of an opening entry, and what counts as behind."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.installation.retention import (
    ArchivedBook,
    Batch,
    Lag,
    OpeningEntry,
    RetentionCandidate,
    batches,
    delete_after,
    deleted_event,
    lag,
    opening_entry,
    opening_key,
)
from orchestrator.rules.states import State
from orchestrator.rules.values import ArchivedSession
from tests.rules.builders import T0

DAY = timedelta(days=1)
CANDIDATES = st.lists(
    st.builds(RetentionCandidate, st.uuids().map(str), st.sampled_from("abc"), st.integers(1, 60)),
    max_size=50,
)


def a_book(amount: int) -> ArchivedBook:
    """Return the entries that left an account's ledger against the revenue."""
    return ArchivedBook(
        account_id="acme",
        book="revenue",
        amount=Decimal(amount),
        entries=1,
        kept_amount=Decimal(0),
        kept_entries=0,
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([10, 40], [["0", "1"]], id="what fits goes together"),
        pytest.param([10, 41], [["0"], ["1"]], id="what does not fit begins the next"),
        pytest.param([400, 1, 49], [["0"], ["1", "2"]], id="one that is too large goes by itself"),
    ],
)
def test_a_batch_is_bounded_by_rows(rows: list[int], expected: list[list[str]]) -> None:
    candidates = [RetentionCandidate(str(n), "acme", count) for n, count in enumerate(rows)]
    assert batches(candidates, most_rows=50) == [
        Batch(account_id="acme", session_ids=ids) for ids in expected
    ]


@given(CANDIDATES)
def test_each_candidate_is_in_one_batch_of_its_account(candidates: list[RetentionCandidate]) -> None:
    found = batches(candidates, most_rows=50)
    rows = {one.id: one.rows for one in candidates}
    assert sorted(id_ for batch in found for id_ in batch.session_ids) == sorted(rows)
    for batch in found:
        assert {one.account_id for one in candidates if one.id in batch.session_ids} == {batch.account_id}
        assert len(batch.session_ids) == 1 or sum(rows[id_] for id_ in batch.session_ids) <= 50


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (-7, OpeningEntry(debit="account:acme", credit="revenue", amount=Decimal(7))),
        (7, OpeningEntry(debit="revenue", credit="account:acme", amount=Decimal(7))),
        (0, OpeningEntry(debit="account:acme", credit="revenue", amount=Decimal(0))),
    ],
)
def test_an_opening_entry_moves_what_the_archived_ones_moved(amount: int, expected: OpeningEntry) -> None:
    assert opening_entry(a_book(amount), "account:acme") == expected


def test_an_opening_entry_has_one_key_for_each_book() -> None:
    assert opening_key(a_book(1)) == opening_key(a_book(2)) == "opening:revenue:acme"


@pytest.mark.parametrize(
    ("age", "kept", "behind", "red"),
    [
        pytest.param(None, 30 * DAY, 0 * DAY, False, id="nothing is kept"),
        pytest.param(400 * DAY, None, 0 * DAY, False, id="kept for ever"),
        pytest.param(29 * DAY, 30 * DAY, 0 * DAY, False, id="young enough"),
        pytest.param(31 * DAY, 30 * DAY, DAY, False, id="a delay"),
        pytest.param(31.1 * DAY, 30 * DAY, 1.1 * DAY, True, id="more than a delay"),
    ],
)
def test_retention_is_behind_when_the_oldest_is_too_old(
    age: timedelta | None, kept: timedelta | None, behind: timedelta, red: bool
) -> None:
    oldest = None if age is None else T0 - age
    found = lag("jobs", oldest, kept, T0)
    assert found == Lag(of="jobs", oldest_at=oldest, behind=behind)
    assert found.is_red is red


@pytest.mark.parametrize(
    ("of_installation", "of_plan", "plans", "others", "own"),
    [
        (None, None, {}, None, set()),
        (60, None, {}, 60, set()),
        (60, 30, {"payg": 30}, 60, {"payg"}),
        (60, 0, {}, 60, {"payg"}),
        (None, 30, {"payg": 30}, None, {"payg"}),
        (0, None, {}, None, set()),
    ],
)
def test_a_plan_says_itself_when_sessions_are_deleted(
    of_installation: float | None,
    of_plan: float | None,
    plans: dict[str, float],
    others: float | None,
    own: set[str],
) -> None:
    found = delete_after(of_installation, {"payg": of_plan, "contract": None})
    assert found.plans == {name: timedelta(seconds=seconds) for name, seconds in plans.items()}
    assert found.others == (None if others is None else timedelta(seconds=others))
    assert found.own == own


def test_an_archived_session_that_is_deleted_has_its_event() -> None:
    event = deleted_event(a_tombstone())
    assert (event.type, event.subject) == ("orchestrator.session.deleted", "s")
    assert (event.data["state"], event.data["previous_state"]) == ("stopped", "stopped")


def a_tombstone(**changes: object) -> ArchivedSession:
    """Return the archived part of a session that stopped."""
    values: dict[str, object] = {
        "id": "s",
        "account_id": "acme",
        "name": "one",
        "state": State.STOPPED,
        "provider": "alpha",
        "stop_reason": "user",
        "request_digest": "d",
        "charged": Decimal(1),
        "charges": 1,
        "currency": "USD",
        "created_at": T0,
        "ended_at": T0,
        "archived_at": T0,
    }
    return ArchivedSession(**(values | changes))  # type: ignore[arg-type]
