"""Open alarms of providers, and their ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.rules.upstream.alarms import (
    Alarm,
    AlarmKind,
    HealthyPing,
    alarm,
    ends_with,
    kind_of,
    retry_at,
)
from orchestrator.rules.values import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WELL = HealthyPing(provider="up", credential="env:KEY", model_id="llama", interval=MINUTE)


def _alarm(kind: AlarmKind = AlarmKind.MISCONFIGURED) -> Alarm:
    return alarm(kind, "up", "env:KEY", "llama", "it says no", NOW)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.OUT_OF_BALANCE, AlarmKind.OUT_OF_BALANCE),
        (Verdict.MISCONFIGURED, AlarmKind.MISCONFIGURED),
        *((one, None) for one in Verdict if one not in (Verdict.OUT_OF_BALANCE, Verdict.MISCONFIGURED)),
    ],
)
def test_two_verdicts_raise_an_alarm_by_themselves(verdict: Verdict, expected: AlarmKind | None) -> None:
    assert kind_of(verdict) is expected


def test_an_empty_account_concerns_every_model_of_its_key() -> None:
    assert _alarm(AlarmKind.OUT_OF_BALANCE).model_id is None
    assert _alarm(AlarmKind.MISCONFIGURED).model_id == "llama"


def test_the_scope_tells_apart_what_is_reported_once() -> None:
    scopes = {_alarm(kind).scope for kind in AlarmKind}
    keyless = alarm(AlarmKind.MISCONFIGURED, "up", None, "llama", "", NOW)
    other = alarm(AlarmKind.MISCONFIGURED, "up", "env:KEY", "qwen", "", NOW)
    assert len(scopes | {keyless.scope, other.scope}) == 5


@pytest.mark.parametrize(
    ("refusals", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)], ids=str
)
def test_a_paused_model_waits_longer_each_time(refusals: int, minutes: int) -> None:
    assert retry_at(AlarmKind.MODEL_PAUSED, refusals, NOW) == NOW + minutes * MINUTE


@pytest.mark.parametrize("kind", [AlarmKind.OUT_OF_BALANCE, AlarmKind.MISCONFIGURED])
def test_other_alarms_stop_nobody(kind: AlarmKind) -> None:
    assert _alarm(kind).retry_at is None


@pytest.mark.parametrize(
    ("well", "after", "over"),
    [
        pytest.param(WELL, 3 * MINUTE, True, id="a good ping there, and quiet since"),
        pytest.param(WELL, 2 * MINUTE, False, id="another session there saw it a moment ago"),
        pytest.param(replace(WELL, model_id="qwen"), 3 * MINUTE, False, id="another model"),
        pytest.param(replace(WELL, credential=None), 3 * MINUTE, False, id="without a key"),
        pytest.param(replace(WELL, provider="other"), 3 * MINUTE, False, id="elsewhere"),
    ],
)
def test_a_good_ping_ends_what_it_contradicts(well: HealthyPing, after: timedelta, over: bool) -> None:
    assert ends_with(_alarm(), well, NOW + after) is over


def test_any_model_shows_that_the_account_is_filled() -> None:
    standing = _alarm(AlarmKind.OUT_OF_BALANCE)
    assert ends_with(standing, replace(WELL, model_id="qwen"), NOW + 3 * MINUTE)


def test_no_ping_contradicts_what_is_wrong_with_a_providers_own_configuration() -> None:
    standing = replace(_alarm(), kind=AlarmKind.MISCONFIGURED, model_id=None)
    assert not ends_with(standing, WELL, NOW + 3 * MINUTE)
