"""When calls to providers are retried."""

from datetime import timedelta

import pytest

from orchestrator.rules.backoff import backoff
from orchestrator.rules.upstream import alarms
from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.upstream.retries import (
    close_again_after,
    open_again_after,
    resolve_after,
    resolve_again_after,
    resolve_answered_after,
)
from orchestrator.rules.values import Policy
from tests.rules.builders import T0

POLICY = Policy(resolve_after_seconds=30, close_retry_max_seconds=600, credential_rest_seconds=5)
FAULT = next(iter(LocalFault))


@pytest.mark.parametrize(("doublings", "seconds"), [(-1, 1), (0, 2), (1, 4), (4, 32), (5, 60), (10_000, 60)])
def test_a_backoff_doubles_up_to_its_last(doublings: int, seconds: float) -> None:
    assert backoff(2, doublings, 60) == seconds


@pytest.mark.parametrize(("card", "seconds"), [(None, 30), (0, 30), (20, 30), (300, 300)])
def test_the_later_of_policy_and_card_binds(card: int | None, seconds: float) -> None:
    assert resolve_after(POLICY, card) == seconds


@pytest.mark.parametrize(
    ("fault", "attempts", "retry_after", "rest", "seconds"),
    [
        (None, 1, 0, 0, 2),
        (None, 3, 0, 0, 8),
        (None, 99, 0, 0, 60),
        (None, 1, 90, 0, 90),
        (None, 1, 0, 5, 5),
        (FAULT, 99, 0, 0, 8),
    ],
)
def test_an_open_is_sent_again(
    fault: LocalFault | None, attempts: int, retry_after: float, rest: float, seconds: float
) -> None:
    assert open_again_after(fault, attempts, retry_after, rest) == seconds


@pytest.mark.parametrize(
    ("fault", "attempts", "seconds"), [(None, 0, 60), (None, 1, 120), (None, 9, 600), (FAULT, 9, 8)]
)
def test_a_resolve_is_asked_again(fault: LocalFault | None, attempts: int, seconds: float) -> None:
    assert resolve_again_after(fault, attempts, POLICY) == seconds


@pytest.mark.parametrize(("wait", "seconds"), [(30, 5), (3, 3)])
def test_an_open_that_was_answered_is_resolved_sooner(wait: float, seconds: float) -> None:
    assert resolve_answered_after(wait, POLICY) == seconds


@pytest.mark.parametrize(
    ("fault", "attempts", "jitter", "seconds"),
    [
        (None, 0, 0, 1),
        (None, 3, 0, 8),
        (None, 3, 1, 8.8),
        (None, 3, -1, 7.2),
        (None, 99, 0, 600),
        (FAULT, 99, 1, 8),
    ],
)
def test_a_close_is_tried_again(
    fault: LocalFault | None, attempts: int, jitter: float, seconds: float
) -> None:
    assert close_again_after(fault, attempts, POLICY, jitter) == pytest.approx(seconds)


@pytest.mark.parametrize(("refusals", "minutes"), [(1, 1), (2, 2), (6, 32), (7, 60), (99, 60)])
def test_a_refused_model_is_tried_again(refusals: int, minutes: int) -> None:
    assert alarms.retry_at(AlarmKind.MODEL_PAUSED, refusals, T0) == T0 + timedelta(minutes=minutes)
