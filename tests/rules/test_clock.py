"""Which time a process uses when the clock that it reads jumps."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.installation import clock
from orchestrator.rules.installation.clock import (
    DRIFT,
    MACHINES,
    TOLERANCE,
    ClockReading,
    KnownTime,
    Measured,
    Trust,
)
from tests.rules.builders import HOUR, MINUTE, SECOND, T0

NONE = timedelta(0)
#: This machine and this start of it, the host's name, and another machine.
BOOT, HOST, ELSEWHERE = "boot-1", "host-1", "boot-2"
EVERY = SECOND
#: Another machine noted the time last; this one noted it at T0.
AMONG_OTHERS: dict[str, Any] = {"boot": ELSEWHERE, "others": (Measured(at=T0, boot=BOOT, seconds=1000.0),)}


def read(passed: timedelta, off: timedelta = NONE, took: float = 0.01) -> ClockReading:
    """Return a reading `passed` after T0, of a clock that is `off`; the monotonic clock showed 1000 at T0."""
    measured = 1000 + passed.total_seconds()
    return ClockReading(raw=T0 + passed + off, before=measured - took, after=measured)


def trusted(**changes: Any) -> Trust:
    """Return the trust of a process that has read a right clock at T0."""
    return replace(clock.trusted(read(NONE), accepted=0), **changes)


def known(**changes: Any) -> KnownTime:
    """Return the row that was noted at T0 on this machine."""
    return replace(KnownTime(at=T0, boot=BOOT, boot_seconds=1000.0), **changes)


@pytest.mark.parametrize(
    ("off", "now", "jumped"),
    [
        (NONE, NONE, False),
        (4 * SECOND, 4 * SECOND, False),
        (-4 * SECOND, -4 * SECOND, False),
        (6 * SECOND, NONE, True),
        (-6 * SECOND, NONE, True),
        (HOUR, NONE, True),
        (-HOUR, NONE, True),
        (2 * HOUR, NONE, True),
        (-2 * HOUR, NONE, True),
    ],
)
def test_a_clock_that_is_off_by_more_than_five_seconds_is_not_followed(
    off: timedelta, now: timedelta, jumped: bool
) -> None:
    after = clock.compared(trusted(), read(MINUTE, off))

    assert abs(after.last - (T0 + MINUTE + now)) <= SECOND
    assert after.jumped is jumped


def test_the_time_never_goes_back_where_a_clock_is_set_back_a_little() -> None:
    before = clock.compared(trusted(), read(MINUTE))
    after = clock.compared(before, read(MINUTE + SECOND, -4 * SECOND))

    assert after.last == before.last
    assert clock.compared(after, read(MINUTE + 4 * SECOND, -2 * SECOND)).last == T0 + MINUTE + 2 * SECOND


def test_a_jump_after_a_long_pause_is_not_followed_as_if_it_were_drift() -> None:
    after = clock.compared(trusted(), read(HOUR, HOUR))

    assert (after.jumped, after.last) == (True, T0 + HOUR)


def test_a_jump_is_over_when_the_clock_agrees_again() -> None:
    during = clock.compared(trusted(), read(MINUTE, HOUR))
    after = clock.compared(during, read(2 * MINUTE, SECOND))

    assert during.jumped
    assert not after.jumped
    assert after.last == T0 + 2 * MINUTE + SECOND


def test_a_second_jump_within_a_jump_changes_nothing() -> None:
    during = clock.compared(trusted(), read(MINUTE, HOUR))
    still = clock.compared(during, read(2 * MINUTE, -2 * HOUR))

    assert still.jumped
    assert abs(still.last - (T0 + 2 * MINUTE)) <= SECOND


def test_a_reading_that_took_long_ends_no_jump_and_begins_none() -> None:
    during = clock.compared(trusted(), read(MINUTE, HOUR))

    assert clock.compared(during, read(2 * HOUR, -30 * MINUTE, took=7200)).jumped
    assert not clock.compared(trusted(), read(2 * HOUR, -30 * MINUTE, took=3600)).jumped


def test_a_clock_that_runs_at_double_speed_is_found_out() -> None:
    trust = trusted()
    for n in range(1, 3600):
        trust = clock.compared(trust, read(n * SECOND, n * SECOND))
        assert abs(trust.last - (T0 + n * SECOND)) <= TOLERANCE + SECOND
    assert trust.jumped


def test_slow_drift_is_followed_for_ever() -> None:
    trust = trusted()
    for n in range(1, 100):
        trust = clock.compared(trust, read(n * HOUR, n * 1.8 * SECOND))  # 500 parts in a million
    assert not trust.jumped
    assert trust.last == T0 + 99 * (HOUR + 1.8 * SECOND)


@given(
    st.lists(st.tuples(st.floats(0, 600), st.floats(-7200, 7200), st.floats(0, 2)), min_size=1, max_size=40)
)
def test_whatever_the_clock_shows_the_time_is_near_and_never_goes_back(
    steps: list[tuple[float, float, float]],
) -> None:
    trust, passed, before = trusted(), NONE, T0 - SECOND
    for pause, off, took in steps:
        passed += timedelta(seconds=pause)
        trust = clock.compared(trust, read(passed, timedelta(seconds=off), took))
        drifted = timedelta(seconds=DRIFT * passed.total_seconds() + took)
        assert trust.last >= before
        assert abs(trust.last - (T0 + passed)) <= 2 * (TOLERANCE + SECOND) + drifted
        before = trust.last


# a process that starts


@pytest.mark.parametrize(
    ("what", "noted", "off", "after", "time", "jumped"),
    [
        ("a first start", None, HOUR, NONE, HOUR, False),
        ("this machine measured since", known(), NONE, HOUR, NONE, False),
        ("it measured, and the clock jumped", known(), HOUR, MINUTE, NONE, True),
        ("it measured, and the clock jumped back", known(), -HOUR, MINUTE, NONE, True),
        ("days later a little drift is no jump", known(), 50 * SECOND, 24 * HOUR, 50 * SECOND, False),
        ("it was started again since", known(boot_seconds=5000.0), NONE, HOUR, NONE, False),
        ("noted elsewhere: time passed", known(boot=ELSEWHERE), NONE, HOUR, NONE, False),
        ("noted elsewhere: the clock is behind", known(boot=ELSEWHERE), -HOUR, NONE, NONE, True),
        ("where no start is known", known(boot=""), NONE, HOUR, NONE, False),
        ("another noted last, and the clock jumped", known(**AMONG_OTHERS), HOUR, MINUTE, NONE, True),
        ("another noted last, and the clock jumped back", known(**AMONG_OTHERS), -HOUR, MINUTE, NONE, True),
        ("another noted last, and the clock is right", known(**AMONG_OTHERS), NONE, HOUR, NONE, False),
        (
            "it was suspended while another noted",
            known(**AMONG_OTHERS, at=T0 + HOUR),
            HOUR,
            MINUTE,
            HOUR,
            False,
        ),
    ],
)
def test_what_a_process_believes_as_it_starts(
    what: str, noted: KnownTime | None, off: timedelta, after: timedelta, time: timedelta, jumped: bool
) -> None:
    trust = clock.first_trust(noted, read(after, off), BOOT)

    assert trust.jumped is jumped, what
    assert abs(trust.last - (T0 + after + time)) <= SECOND, what


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.parametrize("still", [True, False])
def test_a_process_that_starts_elsewhere_during_a_jump(jump: timedelta, still: bool) -> None:
    noted = known(boot=ELSEWHERE, jumped_at=T0 - MINUTE, correction=-jump)
    trust = clock.first_trust(noted, read(MINUTE, jump if still else NONE), BOOT)

    assert trust.jumped is still
    assert trust.last == T0 + MINUTE


@pytest.mark.parametrize(("off", "jumped"), [(NONE, False), (HOUR, True), (-HOUR, True)])
def test_where_others_are_alive_their_time_is_believed(off: timedelta, jumped: bool) -> None:
    trust = clock.first_trust(known(boot=ELSEWHERE), read(SECOND, off), BOOT, alive=True)

    assert trust.jumped is jumped
    assert abs(trust.last - T0) <= 2 * SECOND


def test_where_others_know_of_the_jump_what_they_correct_by_is_exact() -> None:
    noted = known(boot=ELSEWHERE, jumped_at=T0 - MINUTE, correction=-HOUR)
    trust = clock.first_trust(noted, read(3 * SECOND, HOUR), BOOT, alive=True)

    assert (trust.jumped, trust.last) == (True, T0 + 3 * SECOND)


# together


def test_each_of_the_last_machines_is_remembered_with_what_it_measured() -> None:
    row = known()
    for n in range(2 * MACHINES):
        row = clock.noted(row, trusted(), read(n * SECOND), f"boot-{n}", HOST)

    assert [one.boot for one in row.others] == [
        f"boot-{n}" for n in range(2 * MACHINES - 2, MACHINES - 2, -1)
    ]
    assert row.measured_by(f"boot-{MACHINES}") == Measured(
        at=T0, boot=f"boot-{MACHINES}", seconds=1000.0 + MACHINES
    )
    assert row.measured_by(BOOT) is None
    assert row.measured_by("") is None


def test_a_machine_that_notes_again_is_remembered_once() -> None:
    row = known()
    for boot in (ELSEWHERE, BOOT, ELSEWHERE, BOOT):
        row = clock.noted(row, trusted(), read(SECOND), boot, HOST)

    assert (row.boot, [one.boot for one in row.others]) == (BOOT, [ELSEWHERE])


def test_what_machines_measured_before_an_operator_accepted_the_time_is_forgotten() -> None:
    assert clock.accepted(known(**AMONG_OTHERS), trusted(), read(MINUTE, HOUR), BOOT).others == ()


def test_an_operators_word_is_followed_at_once_in_both_directions() -> None:
    for off in (HOUR, -HOUR):
        during = clock.compared(trusted(), read(MINUTE, off))
        after = clock.met(during, known(accepted=1), read(2 * MINUTE, off))

        assert not after.jumped
        assert after.last == T0 + 2 * MINUTE + off
        assert after.accepted == 1


def test_whose_machine_was_suspended_follows_those_who_were_not() -> None:
    suspended = trusted(beats=7)
    others = known(at=T0 + HOUR, boot=ELSEWHERE, beats=3000)
    reading = read(SECOND, HOUR)  # an hour passed, of which it measured a second

    assert clock.met(suspended, others, reading).last == reading.raw
    alone = clock.met(suspended, replace(others, beats=7), reading)
    assert alone.jumped
    reported = clock.met(suspended, replace(others, jumped_at=T0), reading)
    assert reported.jumped


def test_a_jump_is_noted_once_and_its_end() -> None:
    before, during = known(), clock.compared(trusted(), read(MINUTE, HOUR))
    jumped = clock.noted(before, during, read(MINUTE, HOUR), BOOT, HOST)
    later = clock.compared(during, read(2 * MINUTE, HOUR))
    still = clock.noted(jumped, later, read(2 * MINUTE, HOUR), BOOT, "host-2")
    right = clock.compared(later, read(3 * MINUTE))
    over = clock.noted(still, right, read(3 * MINUTE), BOOT, HOST)

    assert abs(jumped.correction + HOUR) <= SECOND
    assert (jumped.jumped_at, jumped.seen_by) == (during.last, HOST)
    assert (still.jumped_at, still.seen_by) == (during.last, HOST)
    assert (over.jumped_at, over.correction, over.corrected_at) == (None, NONE, right.last)
    assert [one.beats for one in (jumped, still, over)] == [1, 2, 3]
    assert clock.is_news(before, jumped, EVERY)
    assert clock.is_news(still, over, EVERY)


def test_the_first_note_and_one_that_says_nothing_new() -> None:
    first = clock.noted(None, trusted(), read(NONE), BOOT, HOST)

    assert first == known(beats=1)
    assert not clock.is_news(first, replace(first, at=T0 + SECOND / 2), EVERY)
    assert clock.is_news(first, replace(first, at=T0 + SECOND), EVERY)
    assert clock.is_news(first, replace(first, correction=HOUR), EVERY)


@pytest.mark.parametrize(("off", "shift"), [(HOUR, NONE), (-HOUR, HOUR)])
def test_accepting_ends_the_jump_and_says_how_far_the_time_went_back(
    off: timedelta, shift: timedelta
) -> None:
    during = clock.compared(trusted(), read(MINUTE, off))
    reading = read(MINUTE, off)
    after = clock.accepted(known(jumped_at=T0, correction=-off), during, reading, BOOT)

    assert (after.at, after.corrected_at, after.accepted) == (reading.raw, reading.raw, 1)
    assert (after.jumped_at, after.correction) == (None, NONE)
    assert abs(after.shift - shift) <= SECOND


@pytest.mark.parametrize(
    ("pending", "shift"), [(None, HOUR), (T0, HOUR + 2 * HOUR)], ids=["all rows are right", "rows wait"]
)
def test_what_is_not_corrected_yet_counts_at_the_next_correction(
    pending: datetime | None, shift: timedelta
) -> None:
    before = known(jumped_at=T0, correction=HOUR, corrected_at=T0, correct_at=pending, shift=2 * HOUR)
    during = clock.compared(trusted(), read(MINUTE, -HOUR))
    accepted = clock.accepted(before, during, read(MINUTE, -HOUR), BOOT)
    over = clock.noted(before, trusted(), read(SECOND), BOOT, HOST)

    assert abs(accepted.shift - shift) <= SECOND
    assert over.shift == (2 * HOUR if pending else NONE)
    for after in (accepted, over):
        assert after.correct_at == after.corrected_at
        assert clock.is_first_correction(after)


@pytest.mark.parametrize(
    ("began", "complete", "due"),
    [
        (NONE, True, T0),
        (19 * SECOND, True, T0),
        (20 * SECOND, True, None),
        (HOUR, True, None),
        (19 * SECOND, False, T0),
        (20 * SECOND, False, T0 + 25 * SECOND + clock.CORRECT_AGAIN),
    ],
)
def test_only_a_whole_pass_that_began_when_all_had_heard_of_it_ends_a_correction(
    began: timedelta, complete: bool, due: datetime | None
) -> None:
    before = known(corrected_at=T0, correct_at=T0)
    after = clock.after_correction(before, T0 + began, T0 + 25 * SECOND, complete=complete)

    assert after.correct_at == due
    assert clock.to_correct(before, T0)
    assert clock.to_correct(after, T0 + 25 * SECOND) is (due == T0)
    assert not clock.to_correct(replace(before, jumped_at=T0), T0)
    assert clock.correction_is_late(before, T0 + 61 * SECOND)
    assert not clock.correction_is_late(before, T0 + MINUTE)
    assert not clock.correction_is_late(replace(before, correct_at=None), T0 + HOUR)


@pytest.mark.parametrize(("off", "words"), [(HOUR, "3600 s ahead of"), (-HOUR, "3600 s behind")])
def test_a_jump_is_reported_with_its_size_its_beginning_and_its_remedy(off: timedelta, words: str) -> None:
    said = clock.in_words(known(jumped_at=T0, correction=-off, seen_by=HOST))

    for part in (words, "2025-09-15 12:00:00Z", HOST, "`orchestrator clock accept`"):
        assert part in said


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, True),
        ({"jumped_at": T0}, False),
        ({"jumped_at": T0, "corrected_at": T0 - HOUR}, False),
        ({"corrected_at": T0}, False),
        ({"corrected_at": T0 - 59 * SECOND}, False),
        ({"corrected_at": T0 - MINUTE}, True),
        ({"corrected_at": T0 + 59 * SECOND}, False),
        ({"corrected_at": T0 + HOUR}, True),
    ],
)
def test_the_alarm_ends_once_no_jump_has_stood_for_a_minute(changes: dict[str, Any], ends: bool) -> None:
    assert clock.alarm_may_end(known(**changes), T0) is ends
