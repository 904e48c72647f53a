"""Calls that failed on this machine are retried soon, and a little later each time."""

import pytest

from orchestrator.rules.upstream.local_faults import (
    REMEDIES,
    Cooldown,
    LocalFault,
    attempts_after,
    cooled,
    wait_after,
)
from tests.rules.builders import MINUTE, SECOND, T0


def test_every_kind_has_a_remedy() -> None:
    assert set(REMEDIES) == set(LocalFault)


def test_the_cooldown_doubles_from_one_second_to_eight() -> None:
    now, cooldown, waits = T0, None, []
    for _ in range(6):
        cooldown = cooled(cooldown, now)
        waits.append((cooldown.until - now).total_seconds())
        now = cooldown.until
    assert waits == [1, 2, 4, 8, 8, 8]


def test_faults_within_one_cooldown_count_once() -> None:
    first = cooled(None, T0)
    assert cooled(first, T0 + SECOND / 2) == first


@pytest.mark.parametrize(
    ("now", "covered"),
    [
        pytest.param(T0 - SECOND, True, id="before its end"),
        pytest.param(T0, False, id="at its end"),
        pytest.param(T0 - MINUTE, False, id="a clock that was set back"),
    ],
)
def test_a_cooldown_covers_seconds(now: object, covered: bool) -> None:
    assert Cooldown(until=T0, times=9).covers(now) is covered  # type: ignore[arg-type]


def test_what_failed_here_lengthens_no_later_wait() -> None:
    assert [
        attempts_after(None, 3),
        attempts_after(LocalFault.FILES, 3),
        attempts_after(LocalFault.FILES, 0),
    ] == [
        3,
        2,
        0,
    ]


def test_only_what_failed_here_is_tried_again_soon() -> None:
    assert [wait_after(None, 600), wait_after(LocalFault.FILES, 600), wait_after(LocalFault.FILES, 2)] == [
        600,
        8,
        2,
    ]
