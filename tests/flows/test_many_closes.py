"""Many proven closes at once: settled together, each under its own lease, and none held up by another."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.provider_steps import Answer, Postponed, settle
from orchestrator.flows.lifecycle import due_stops
from orchestrator.flows.steps.close_due import CLOSE
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld, _worlds
from tests.flows.hands import Hands
from tests.store.stage import statements
from tests.world import MINUTE, SECOND, World

#: Statements that settle proven closes of any number of accounts.
AT_MOST = 12
#: The same where sessions of the accounts are due to stop: these are stopped first.
AT_MOST_WITH_STOPS = 19


@pytest.fixture
def pg_world(postgres_url: str) -> Iterator[MakeWorld]:
    """Return a world on PostgreSQL, which locks rows one by one."""
    with _worlds(postgres_url) as make:
        yield make


def open_accounts(world: World, number: int) -> list[str]:
    accounts = [f"account-{n}" for n in range(number)]
    for one in accounts:
        world.done("account.put", account_id=one, plan="contract", currency="USD")
        world.done("account.credit", account_id=one, amount="9", currency="USD", key="first")
    return accounts


def closing(world: World, accounts: list[str]) -> dict[str, str]:
    """Return account → its session, which ran and is to be closed."""
    sessions = {one: world.create_session(account_id=one) for one in accounts}
    world.settle()
    for session_id in sessions.values():
        world.done("session.close", session_id=session_id)
    world.jump(2 * SECOND)
    return sessions


def answers(hands: Hands) -> list[Answer[Any, Any]]:
    return [hands.act(claimed) for claimed in hands.claim(Step.CLOSE)]


@pytest.mark.parametrize("number", [3, 12])
def test_they_take_as_many_statements_however_many_accounts(pg_world: MakeWorld, number: int) -> None:
    world = pg_world()
    sessions = closing(world, open_accounts(world, number))
    proven = answers(Hands(world.services))
    with statements(world.services.database) as seen:
        done = settle(world.services, CLOSE, proven)
    assert done == number
    assert len(seen) <= AT_MOST, [statement for statement, _ in seen]
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPED}
    for one in sessions.values():
        assert world.events(one)[-1] == "stopped"


def test_what_lost_its_lease_is_left_to_its_holder(any_world: MakeWorld) -> None:
    world = any_world()
    sessions = closing(world, open_accounts(world, 2))
    slow, other = Hands(world.another_worker()), Hands(world.services)
    late = answers(slow)
    world.jump(4 * MINUTE)
    again = answers(other)
    settle(world.another_worker(), CLOSE, late)
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPING}
    settle(world.services, CLOSE, again)
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPED}


def test_due_stops_of_an_account_come_before_its_close(any_world: MakeWorld) -> None:
    world = any_world()
    accounts = open_accounts(world, 2)
    overdue = world.run_session(account_id=accounts[0], stop={"max_duration_seconds": 60})
    sessions = closing(world, accounts)
    world.jump(2 * MINUTE)
    settle(world.services, CLOSE, answers(Hands(world.services)))
    assert world.session(overdue).stop_reason is StopReason.MAX_DURATION
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPED}


def overdue_besides(world: World, accounts: list[str], number: int = 1) -> dict[str, list[str]]:
    """Return account → sessions of it that are due to stop."""
    stop = {"max_duration_seconds": 60}
    return {one: [world.create_session(account_id=one, stop=stop) for _ in range(number)] for one in accounts}


@pytest.mark.parametrize("number", [3, 8])
def test_due_stops_of_many_accounts_are_applied_together(pg_world: MakeWorld, number: int) -> None:
    world = pg_world()
    accounts = open_accounts(world, number)
    overdue = overdue_besides(world, accounts)
    sessions = closing(world, accounts)
    world.jump(2 * MINUTE)
    proven = answers(Hands(world.services))
    with statements(world.services.database) as seen:
        done = settle(world.services, CLOSE, proven)
    assert done == number
    assert len(seen) <= AT_MOST_WITH_STOPS, [statement for statement, _ in seen]
    assert {world.session(one).stop_reason for [one] in overdue.values()} == {StopReason.MAX_DURATION}
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPED}


def test_closes_of_more_accounts_with_due_stops_than_may_be_applied_at_once_come_later(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_stops, "STOPPED_BESIDE", 2)
    world = any_world()
    accounts = open_accounts(world, 3)
    overdue = overdue_besides(world, accounts)
    sessions = closing(world, accounts)
    world.jump(2 * MINUTE)
    with pytest.raises(Postponed) as postponed:
        settle(world.services, CLOSE, answers(Hands(world.services)))
    assert [world.session(one).state for one in sessions.values()].count(State.STOPPED) == 2
    settle(world.services, CLOSE, postponed.value.later)
    assert {world.session(one).stop_reason for [one] in overdue.values()} == {StopReason.MAX_DURATION}
    assert {world.session(one).state for one in sessions.values()} == {State.STOPPED}


def test_the_close_of_an_account_with_many_due_stops_comes_after_all_of_them(
    any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "STOPS_AT_ONCE", 1)
    world = any_world()
    crowded, quiet = accounts = open_accounts(world, 2)
    overdue = overdue_besides(world, [crowded], number=3)[crowded]
    sessions = closing(world, accounts)
    world.jump(2 * MINUTE)
    with pytest.raises(Postponed) as postponed:
        settle(world.services, CLOSE, answers(Hands(world.services)))
    assert world.session(sessions[quiet]).state is State.STOPPED
    assert world.session(sessions[crowded]).state is State.STOPPING
    assert [world.session(one).stop_reason for one in overdue].count(StopReason.MAX_DURATION) == 1
    settle(world.services, CLOSE, postponed.value.later)
    assert {world.session(one).stop_reason for one in overdue} == {StopReason.MAX_DURATION}
    assert world.session(sessions[crowded]).state is State.STOPPED


def test_a_row_that_cannot_be_read_holds_up_no_other_close(any_world: MakeWorld) -> None:
    world = any_world()
    bad, good = open_accounts(world, 2)
    sessions = closing(world, [bad, good])
    proven = answers(Hands(world.services))
    garble(world, sessions[bad], "'[7]'")
    settle(world.services, CLOSE, proven)
    assert world.session(sessions[good]).state is State.STOPPED
    garble(world, sessions[bad], "NULL")
    assert world.session(sessions[bad]).state is State.STOPPING
    world.jump(4 * MINUTE)
    world.settle()
    assert world.session(sessions[bad]).state is State.STOPPED


def test_one_whose_account_is_held_comes_later_and_the_others_now(pg_world: MakeWorld) -> None:
    world = pg_world()
    held, free = open_accounts(world, 2)
    sessions = closing(world, [held, free])
    proven = answers(Hands(world.services))
    with world.services.database.engine.connect() as other:
        Transaction(other, world.clock).accounts.lock(held)
        with pytest.raises(Postponed) as postponed:
            settle(world.services, CLOSE, proven)
        assert world.session(sessions[free]).state is State.STOPPED
        assert world.session(sessions[held]).state is State.STOPPING
        other.rollback()
    settle(world.services, CLOSE, postponed.value.later)
    assert world.session(sessions[held]).state is State.STOPPED


def test_a_session_ends_with_the_last_of_its_placements(any_world: MakeWorld) -> None:
    world = any_world()
    [account] = open_accounts(world, 1)
    session_id = world.run_session("roam", account_id=account)
    world.done("session.close", session_id=session_id)
    world.settle()
    assert {one.state for one in world.placements(session_id)} == {PlacementState.CLOSED}
    assert world.session(session_id).state is State.STOPPED


def garble(world: World, session_id: str, value: str) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(text(f"UPDATE sessions SET attach = {value} WHERE id = '{session_id}'"))

    world.services.database.transact(change)
