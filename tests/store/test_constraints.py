"""Constraints back up every lock."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.values import Due, Placement
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import Entry
from tests.rules.builders import T0
from tests.store.stage import (
    a_closing,
    a_created,
    a_placement,
    a_running,
    an_account,
    an_opening,
    keep,
    run,
)


def test_a_name_is_taken_once_in_an_account(database: Database) -> None:
    keep(database, a_created(1, name="one"), an_account("other"))
    keep(database, a_created(2, name="one", account_id="other"))
    with pytest.raises(IntegrityError):
        keep(database, a_created(3, name="one"))


def test_deleting_a_session_frees_its_name(database: Database) -> None:
    keep(database, a_created(1, name="one", state=State.STOPPED, deleted_at=T0))
    keep(database, a_created(2, name="one", state=State.STOPPED, deleted_at=T0))
    keep(database, a_created(3, name="one"))
    found = database.transact(lambda tx: tx.sessions.by_name("acme", "one"))
    assert found == a_created(3).id


@pytest.mark.parametrize("state", [PlacementState.OPENING, PlacementState.OPEN, PlacementState.UNKNOWN])
def test_a_session_is_served_by_one_placement_at_a_time(database: Database, state: PlacementState) -> None:
    keep(database, a_running(1), a_placement(1, state=state, **_step(state)))
    with pytest.raises(IntegrityError):
        keep(database, an_opening(2, session_id=a_running(1).id, n=2))


def test_failover_opens_the_next_placement_while_the_last_one_closes(database: Database) -> None:
    keep(database, a_running(1), a_closing(1), an_opening(2, session_id=a_running(1).id, n=2))


def test_no_number_of_a_placement_is_used_twice(database: Database) -> None:
    keep(database, a_running(1), a_closing(1))
    with pytest.raises(IntegrityError):
        keep(database, an_opening(2, session_id=a_running(1).id, n=1))


@pytest.mark.parametrize(
    ("first", "fits"),
    [
        pytest.param(a_placement(1, exclusive=True), False, id="an open one occupies it"),
        pytest.param(a_closing(1, exclusive=True), False, id="closing occupies it"),
        pytest.param(
            a_placement(1, exclusive=True, state=PlacementState.CLOSED, proof="said so"), True, id="closed"
        ),
        pytest.param(
            a_placement(1, exclusive=True, state=PlacementState.NEVER_OPENED), True, id="never opened"
        ),
        pytest.param(a_closing(1, exclusive=True, session_id=None), True, id="orphans are exempt"),
        pytest.param(a_placement(1, exclusive=True, credential="env:B"), True, id="another credential"),
        pytest.param(a_placement(1, exclusive=True, provider="beta"), True, id="another provider"),
        pytest.param(a_placement(1, exclusive=False), True, id="a shared one"),
    ],
)
def test_an_exclusive_credential_carries_one_unclosed_placement(
    database: Database, first: Placement, fits: bool
) -> None:
    keep(database, a_running(1), a_running(2), first)
    second = a_placement(2, exclusive=first.exclusive)
    if fits:
        keep(database, second)
        return
    with pytest.raises(IntegrityError):
        keep(database, second)


def test_a_handle_stands_for_one_unclosed_placement(database: Database) -> None:
    keep(database, a_running(1), a_running(2), a_placement(1, handle="h"))
    with pytest.raises(IntegrityError):
        keep(database, a_placement(2, handle="h"))
    keep(database, a_placement(2, handle="h", provider="beta"))


def test_a_handle_may_return_after_the_end(database: Database) -> None:
    ended = a_placement(1, handle="h", state=PlacementState.CLOSED, proof="said so")
    keep(database, a_running(1), a_running(2), ended, a_placement(2, handle="h"))
    assert database.transact(lambda tx: tx.placements.handle_is_known("alpha", "h"))
    assert not database.transact(lambda tx: tx.placements.handle_is_known("beta", "h"))


@pytest.mark.parametrize(
    ("table", "change", "constraint"),
    [
        ("sessions", "stop_at = NULL", "running_has_deadline"),
        ("sessions", "running_since = NULL", "running_is_metered"),
        ("sessions", "state = 'stopping'", "running_is_metered"),
        ("sessions", "next_step = NULL, next_step_at = NULL", "live_has_step"),
        ("sessions", "next_step_at = NULL", "step_has_time"),
        ("sessions", "nodes = 0", "nodes_positive"),
        ("placements", "state = 'closing'", "live_has_step"),
        ("placements", "state = 'unknown'", "live_has_step"),
        ("placements", "next_step = 'close'", "step_has_time"),
        ("placements", "state = 'closed'", "closed_has_proof"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(
    database: Database, table: str, change: str, constraint: str
) -> None:
    keep(database, a_running(1), a_placement(1))
    with pytest.raises(IntegrityError, match=f"ck_{table}_{constraint}"):
        run(database, f"UPDATE {table} SET {change}")


@pytest.mark.parametrize("broken", ["account_id", "model_id"])
def test_a_session_belongs_to_an_account_and_a_model_that_exist(database: Database, broken: str) -> None:
    with pytest.raises(IntegrityError):
        keep(database, a_created(1, **{broken: "nobody"}))


def test_a_placement_belongs_to_a_session_that_exists(database: Database) -> None:
    with pytest.raises(IntegrityError):
        keep(database, a_placement(1))


def _step(state: PlacementState) -> dict[str, Step | datetime | Any]:
    """A placement that is open has no step."""
    return {} if state is PlacementState.OPEN else {"due": Due(Step.RESOLVE, T0)}


@pytest.mark.parametrize("change", ["UPDATE ledger SET amount = 1", "DELETE FROM ledger"])
def test_what_is_in_the_ledger_stays_as_it_is(database: Database, change: str) -> None:
    entry = Entry(
        key="k",
        at=T0,
        account_id="acme",
        kind="credit",
        debit="granted",
        credit="account:acme",
        amount=Decimal(5),
        currency="USD",
    )
    database.transact(lambda tx: tx.ledger.post(entry))
    with pytest.raises(DBAPIError, match="append-only"):
        database.transact(lambda tx: tx.connection.execute(text(change)))
    assert database.transact(lambda tx: tx.ledger.balance("acme")) == 5
