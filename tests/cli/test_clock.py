"""`orchestrator clock` and the doctor's line about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.flows.reports.measure import measure
from orchestrator.rules.installation.clock import KnownTime
from orchestrator.store.core.stopwatch import machine_stopwatch
from orchestrator.store.queries.accounts import ACCOUNTS
from orchestrator.store.queries.sessions import SESSIONS
from orchestrator.store.transaction import Transaction
from tests.cli.conftest import Cli
from tests.world import World


def note(world: World, **changes: Any) -> None:
    """Note this as workers of another machine."""

    def write(tx: Transaction) -> None:
        tx.clock.write(
            None, replace(KnownTime(at=world.clock.now, boot="elsewhere", boot_seconds=1.0), **changes)
        )

    world.services.database.transact(write)


@pytest.mark.parametrize(("ahead", "words"), [(1, "3600 s ahead"), (-1, "3600 s behind")])
def test_a_jump_turns_one_line_of_doctor_red_with_its_remedy(
    cli: Cli, world: World, ahead: int, words: str
) -> None:
    before = {one["check"]: one["ok"] for one in cli("doctor", "--json").json}
    assert before["clock"]
    note(world, jumped_at=world.clock.now, correction=-ahead * timedelta(hours=1), seen_by="db-client-1")

    findings = cli("doctor", "--json").json
    assert [one["check"] for one in findings if before[one["check"]] != one["ok"]] == ["clock"]
    [found] = [one for one in findings if one["check"] == "clock"]
    assert words in found["detail"]
    assert "orchestrator clock accept" in found["detail"]


@pytest.mark.parametrize(("ahead", "words"), [(1, "3600 s ahead"), (-1, "3600 s behind")])
def test_a_jump_that_no_worker_has_seen_is_reported_all_the_same(
    cli: Cli, world: World, ahead: int, words: str
) -> None:
    """The row holds this machine's measurement; since then its clock was set, and no process runs."""
    watch, hour = machine_stopwatch(), timedelta(hours=1)
    note(world, at=datetime.now(UTC) - ahead * hour, boot=watch.boot, boot_seconds=watch.seconds())

    shown = cli("clock", "show", "--json").json
    assert shown["jumped"]
    assert shown["ahead_seconds"] == pytest.approx(ahead * 3600, abs=5)
    assert words in cli("clock", "show").out.replace(str(round(abs(shown["ahead_seconds"]))), "3600")
    [found] = [one for one in cli("doctor", "--json").json if one["check"] == "clock"]
    assert not found["ok"]
    assert "orchestrator clock accept" in found["detail"]
    with world.services.database.reading() as tx:
        known = tx.clock.known()
    assert known is not None
    assert known.jumped_at is None, "who only looks writes nothing"


def test_a_jump_is_shown_and_accepted(cli: Cli, world: World) -> None:
    assert cli("clock", "show", "--json").json["jumped"] is False
    assert "not compared yet" in cli("clock", "show").out
    note(world, jumped_at=world.clock.now, correction=timedelta(hours=-1), seen_by="db-client-1")

    shown = cli("clock", "show", "--json").json
    assert (shown["jumped"], shown["ahead_seconds"], shown["seen_by"]) == (True, 3600.0, "db-client-1")
    accepted = cli("clock", "accept", "--json").json
    assert (accepted["jumped"], accepted["accepted"]) == (False, 1)
    again = cli("clock", "accept")
    assert again.code == 1
    assert "nothing to accept" in again.err


def test_rows_that_wait_to_be_corrected_are_shown_and_turn_the_line_red(cli: Cli, world: World) -> None:
    began = world.clock.now - timedelta(minutes=2)
    note(world, corrected_at=began, correct_at=began)

    assert "still correcting those" in cli("clock", "show").out
    assert cli("clock", "show", "--json").json["correct_at"] is not None
    [found] = [one for one in cli("doctor", "--json").json if one["check"] == "clock"]
    assert not found["ok"]
    assert "start a worker of the kind control" in found["detail"]


def test_who_accepts_the_time_corrects_the_rows_at_once(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    now = datetime.now(UTC)
    ahead = now + timedelta(minutes=59)
    noted = now + timedelta(hours=1)
    note(world, at=noted, jumped_at=noted, correction=timedelta(hours=1), seen_by="db-client-1")
    with world.services.database.engine.begin() as connection:
        times = dict.fromkeys(("running_at", "running_since", "last_ping_at", "last_alive_at"), ahead)
        connection.execute(update(SESSIONS).values(**times, stop_at=ahead + timedelta(hours=1)))
        connection.execute(update(ACCOUNTS).values(funds_end_at=None, funds_session_id=None))

    assert cli("clock", "accept").code == 0
    session = world.session(session_id)
    assert session.running_since is not None
    assert session.running_since == session.last_ping_at
    assert abs(session.running_since - (now - timedelta(minutes=1))) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("ahead", "words"), [(1, "3600 s ahead of the measured time"), (-1, "3600 s behind the measured time")]
)
def test_a_jump_is_shown_in_words(cli: Cli, world: World, ahead: int, words: str) -> None:
    note(world, jumped_at=world.clock.now, correction=-ahead * timedelta(hours=1), seen_by="db-client-1")
    shown = cli("clock", "show").out
    assert words in shown
    assert "db-client-1" in shown
    assert "_" not in shown


def test_a_clock_that_agrees_is_shown_so_and_never_as_minus_zero(cli: Cli, world: World) -> None:
    note(world, corrected_at=world.clock.now)
    shown = cli("clock", "show").out
    assert "agrees with the measured time" in shown
    assert "last jump ended" in shown
    assert '"ahead_seconds": 0.0' in cli("clock", "show", "--json").out
    assert str(measure(world.services.database, ()).clock_ahead) == "0.0"
