"""Which events a webhook receives, and when a failed delivery is tried again and given up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.rules import webhooks
from orchestrator.rules.values import Delivery, Webhook
from tests.rules.builders import HOUR, MINUTE, SECOND, T0

HOOK = Webhook(
    name="shop", url="https://example.com/hook", secret_refs=("env:S",), place=0, next_at=T0, created_at=T0
)
NO = webhooks.Undelivered("no")
SESSION, ACCOUNT = "orchestrator.session.stopped", "orchestrator.account.credited"


def delivery(**changes: Any) -> Delivery:
    """Return a delivery of an event that happened at T0."""
    one = Delivery(
        webhook="shop",
        seq=1,
        event_id="e",
        type=SESSION,
        subject="s",
        time=T0,
        data={},
        since=T0,
        next_at=T0,
    )
    return replace(one, **changes)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://example.com/hook?a=b", None),
        ("http://127.0.0.1:9000/", None),
        ("http://localhost:9000/", None),
        ("http://example.com/", "must begin with https:// (http:// is for receivers on this machine)"),
        ("ftp://example.com/", "must begin with https:// (http:// is for receivers on this machine)"),
        ("https://", "must be a URL with a host"),
        ("https://[::1", "must be a URL with a host"),
        ("https://example.com:port/", "must be a URL with a host"),
        ("https://user:password@example.com/", "must not contain a user, password or fragment"),
        ("https://example.com/#part", "must not contain a user, password or fragment"),
        ("https://example.com/\x00", "must not contain spaces or control characters"),
        ("https://example.com/a\nb", "must not contain spaces or control characters"),
        ("https://example.com/a b", "must not contain spaces or control characters"),
    ],
)
def test_where_events_may_be_sent(url: str, fault: str | None) -> None:
    assert webhooks.url_fault(url) == fault


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("*", True),
        (SESSION, True),
        ("orchestrator.session.*", True),
        ("session.*", False),
        ("orchestrator.\x00", False),
        ("", False),
    ],
)
def test_patterns_of_types(pattern: str, right: bool) -> None:
    assert (webhooks.pattern_fault(pattern) is None) is right


@pytest.mark.parametrize(
    ("types", "accounts", "event", "received"),
    [
        ((), (), (SESSION, "s", {"account_id": "acme"}), True),
        ((SESSION,), (), (SESSION, "s", {}), True),
        (("orchestrator.account.*", SESSION), (), (SESSION, "s", {}), True),
        (("orchestrator.account.*",), (), (SESSION, "s", {}), False),
        ((), ("acme",), (SESSION, "s", {"account_id": "acme"}), True),
        ((), ("acme",), (SESSION, "s", {"account_id": "other"}), False),
        ((), ("acme",), (ACCOUNT, "acme", {}), True),
        ((), ("acme",), (ACCOUNT, "other", {}), False),
        ((), ("acme",), ("orchestrator.provider.braked", "acme", {}), False),
        ((), ("acme",), (SESSION, "s", {"account_id": 7}), False),
    ],
)
def test_which_events_are_received(
    types: tuple[str, ...], accounts: tuple[str, ...], event: tuple[str, str, Any], received: bool
) -> None:
    hook = replace(HOOK, event_types=types, account_ids=accounts)
    assert webhooks.receives(hook, *event) is received


def test_a_failed_delivery_is_tried_later_and_later_until_a_day_has_passed() -> None:
    one, now, waits = delivery(), T0, []
    while one.dead_at is None:
        one = webhooks.after_failure(one, NO, now)
        waits.append(one.next_at - now)
        now = one.next_at
    assert waits[:4] == [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND]
    assert max(waits) == HOUR
    assert 20 <= one.tries == len(waits) <= 40
    assert one.dead_at - one.since >= timedelta(hours=24)
    assert one.last_answer == "no"


def test_a_replay_begins_a_new_day() -> None:
    dead = delivery(tries=9, dead_at=T0, last_answer="no")
    again = webhooks.replayed(dead, T0 + 48 * HOUR)
    assert (again.tries, again.dead_at, again.since) == (0, None, T0 + 48 * HOUR)
    assert webhooks.after_failure(again, NO, T0 + 49 * HOUR).dead_at is None


def test_a_receiver_that_fails_is_left_alone_for_a_while_and_then_forgiven() -> None:
    hook = HOOK
    rests = []
    for _ in range(10):
        hook = webhooks.after_pass(hook, arrived=0, failed=[NO], now=T0)
        rests.append(hook.next_at - T0)
    assert rests[:3] == [5 * SECOND, 10 * SECOND, 20 * SECOND]
    assert rests[-1] == 5 * MINUTE
    partly = webhooks.after_pass(hook, arrived=1, failed=[NO], now=T0)
    assert (partly.failures, partly.next_at, partly.last_answer, partly.last_sent_at) == (0, T0, "no", T0)
    well = webhooks.after_pass(partly, arrived=1, failed=[], now=T0 + MINUTE)
    assert (well.last_answer, well.last_sent_at) == (None, T0 + MINUTE)


@pytest.mark.parametrize(
    ("arrived", "asked", "webhook_rests", "event_waits"),
    [
        pytest.param(0, 120.0, 120.0, 120.0, id="longer than our own"),
        pytest.param(0, 2.0, 5.0, 5.0, id="shorter than our own"),
        pytest.param(1, 120.0, 120.0, 120.0, id="beside events that arrived"),
        pytest.param(1, 0.0, 0.0, 5.0, id="none"),
        pytest.param(0, 1e9, 3600.0, 3600.0, id="a receiver that never wants any"),
    ],
)
def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    arrived: int, asked: float, webhook_rests: float, event_waits: float
) -> None:
    busy = webhooks.Undelivered("the receiver answered 429", asked)
    hook = webhooks.after_pass(HOOK, arrived=arrived, failed=[busy, NO], now=T0)
    assert hook.next_at - T0 == timedelta(seconds=webhook_rests)
    assert webhooks.after_failure(delivery(), busy, T0).next_at - T0 == timedelta(seconds=event_waits)


@pytest.mark.parametrize(
    ("in_a_row", "retry_after", "ends"),
    [
        pytest.param(0, [], False, id="no failure"),
        pytest.param(4, [0.0] * 9, False, id="with a success between many failures"),
        pytest.param(5, [0.0] * 5, True, id="many failures in a row"),
        pytest.param(
            0, [0.0, 30.0, 0.0], True, id="the receiver asked for time, and another event arrived since"
        ),
    ],
)
def test_when_a_pass_sends_no_more(in_a_row: int, retry_after: list[float], ends: bool) -> None:
    failed = [webhooks.Undelivered("no", seconds) for seconds in retry_after]
    assert webhooks.sends_no_more(in_a_row, failed) is ends


def test_patterns_that_match_no_type_are_named() -> None:
    types = ["orchestrator.session.stopped", "orchestrator.account.credited"]
    patterns = ["*", "orchestrator.session.*", "orchestrator.sesion.*", "orchestrator.session.stoped"]
    assert webhooks.unmatched(patterns, types) == ["orchestrator.sesion.*", "orchestrator.session.stoped"]
    assert webhooks.unmatched(["*"], []) == ["*"]


@pytest.mark.parametrize(("waiting", "read"), [(0, 100), (999, 100), (1000, 8), (5000, 8)])
def test_where_much_waits_for_a_receiver_that_fails_few_new_events_are_read(waiting: int, read: int) -> None:
    assert webhooks.events_to_read(waiting) == read


def test_a_pass_that_sends_nothing_says_nothing_of_the_receiver() -> None:
    down = webhooks.after_pass(HOOK, arrived=0, failed=[NO], now=T0)
    idle = webhooks.after_pass(down, arrived=0, failed=[], now=T0 + MINUTE)
    assert (idle.failures, idle.last_answer, idle.last_sent_at) == (1, "no", None)


@pytest.mark.parametrize(
    ("secret", "size"),
    [
        ("whsec_" + "YWJj" * 8, 24),
        ("whsec_" + "YWJj" * 21, 63),
        pytest.param("YWJj" * 8, None, id="no prefix"),
        pytest.param("whsec_" + "YWJj" * 7, None, id="too short"),
        pytest.param("whsec_" + "YWJj" * 22, None, id="too long"),
        pytest.param("whsec_" + "YWJj" * 8 + " ~", None, id="not base64"),
    ],
)
def test_a_secret_signs_only_as_the_standard_writes_it(secret: str, size: int | None) -> None:
    key = webhooks.key_in(secret)
    assert (None if key is None else len(key)) == size
