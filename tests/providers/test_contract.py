"""One contract for every driver, against its simulated platform over real HTTP."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.providers.port.driver import Closed, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CannotAsk,
    CredentialRefused,
    Misconfigured,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderError,
    Throttled,
)
from orchestrator.providers.registry import DRIVERS
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import PLATFORMS, platform_of
from tests.providers.stage import KEY, Stage, secret, stage_of, where
from tests.waiting import free_port


def close(stage: Stage, placed: Placed, **changes: Any) -> Closed:
    """Close it; one that only ends by itself is closed once its declared end has passed."""
    over = {"ends_at": datetime.now(UTC) - timedelta(seconds=1)} if stage.card.lifecycle.attaches else {}
    return stage.play(lambda driver: driver.close(stage.target(placed, **over | changes)))


def test_every_registered_driver_is_under_test() -> None:
    assert {platform.driver for platform in PLATFORMS} == set(DRIVERS)


# open and resolve


def test_what_is_opened_answers_a_ping(stage: Stage) -> None:
    placed = stage.open()
    assert placed.handle
    assert placed.endpoint.secret_ref == "env:KEY_1"
    assert KEY not in repr(placed)
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert answer.verdict is Verdict.ALIVE


def test_the_same_open_again_is_the_same_placement_or_replaces_it(opener: Stage) -> None:
    opener.open()
    again = opener.open()
    live = [session.id for session in opener.server.open_sessions()]
    if opener.platform.opens_anew:
        assert again.handle in live
    else:
        assert live in ([], [again.handle])


@pytest.mark.parametrize("fault", ["cut_before_effect", "cut_after_effect", "cut_in_body", "hang"])
def test_a_lost_answer_is_resolved(opener: Stage, fault: str) -> None:
    opener.fault(fault, operation=opener.platform.open_operation)
    lost = OutcomeUnknown if opener.card.lifecycle.managed else NotSent
    with pytest.raises(lost):
        opener.play(
            lambda driver: driver.open(opener.order()), open_timeout_seconds=0.4, read_timeout_seconds=0.4
        )
    opener.server.clear_faults()
    was_opened = bool(opener.server.open_sessions())
    found = opener.resolve()
    live = [session.id for session in opener.server.open_sessions()]
    if was_opened or opener.card.lifecycle.repeats_open or not opener.card.lifecycle.managed:
        assert isinstance(found, Placed)
        assert live in ([], [found.handle])
    else:  # an open that never happened is found missing, and the query opens nothing
        assert isinstance(found, NotPlaced)
        assert live == []


@pytest.mark.parametrize("fault", ["cut_before_effect", "cut_after_effect"])
def test_a_lost_answer_is_resolved_by_closing(opener: Stage, fault: str) -> None:
    opener.fault(fault, operation=opener.platform.open_operation)
    with pytest.raises((OutcomeUnknown, NotSent)):
        opener.open()
    opener.server.clear_faults()
    assert isinstance(opener.resolve(close=True), NotPlaced)
    assert opener.server.open_sessions() == []


def test_an_unknown_model_is_missing(stage: Stage) -> None:
    with pytest.raises(stage.platform.unknown_model):
        stage.open(model="no-such-model")
    assert stage.server.open_sessions() == []


REFUSALS = [
    pytest.param("unauthorized", {}, CredentialRefused, id="unauthorized"),
    pytest.param("forbidden", {}, CredentialRefused, id="forbidden"),
    pytest.param("out_of_balance", {"status": 402}, OutOfBalance, id="402"),
    pytest.param("out_of_balance", {"status": 403}, OutOfBalance, id="403 with a balance text"),
    pytest.param("redirect", {"location": "http://elsewhere.invalid/"}, Misconfigured, id="redirect"),
    pytest.param("status", {"status": 422, "body": {"detail": "no"}}, Misconfigured, id="422"),
]


@pytest.mark.parametrize(("fault", "params", "expected"), REFUSALS)
def test_a_refused_open_is_definite(
    stage: Stage, fault: str, params: dict[str, Any], expected: type[ProviderError]
) -> None:
    stage.fault(fault, operation=stage.platform.open_operation, **params)
    with pytest.raises(expected):
        stage.open()
    assert stage.server.open_sessions() == []


def test_a_wrong_credential_is_refused(stage: Stage) -> None:
    with pytest.raises(CredentialRefused):
        stage.open(secret=secret("sk-planted-wrong"))


@pytest.mark.parametrize(
    ("params", "seconds"),
    [
        pytest.param({"retry_after": 7}, 7, id="seconds"),
        pytest.param({"retry_after": 60, "style": "date"}, 60, id="date"),
        pytest.param({"retry_after": "a while"}, None, id="words"),
        pytest.param({"retry_after": 1e12}, 600, id="absurd"),
        pytest.param({}, None, id="absent"),
    ],
)
def test_a_throttled_caller_is_reported_for_how_long(
    opener: Stage, params: dict[str, Any], seconds: float | None
) -> None:
    placed = opener.open()
    opener.fault("throttled", **params)
    opener.fault("throttled", operation=opener.platform.open_operation, **params)
    with pytest.raises(Throttled) as raised:
        opener.open(placement_id="p-2", name="p-2")
    answer = opener.play(lambda driver: driver.probe(opener.target(placed)))
    assert answer.verdict is Verdict.THROTTLED
    expected = None if seconds is None else pytest.approx(seconds, abs=5)
    assert raised.value.retry_after_seconds == expected
    assert answer.retry_after_seconds == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_open_that_cannot_connect_was_not_sent(opener: Stage, scheme: str) -> None:
    base = f"{scheme}://127.0.0.1:{free_port()}"
    with pytest.raises(NotSent):
        opener.play(lambda driver: driver.open(opener.order()), base_url=base)


def test_a_failed_handshake_was_not_sent(opener: Stage) -> None:
    with pytest.raises(NotSent):
        opener.play(
            lambda driver: driver.open(opener.order()), base_url=opener.url.replace("http:", "https:")
        )


@pytest.mark.parametrize("status", [202, 303])
def test_an_odd_status_is_no_refusal_of_what_was_opened(opener: Stage, status: int) -> None:
    opener.fault("status", operation=opener.platform.open_operation, status=status, body={}, effect=True)
    with suppress(OutcomeUnknown if opener.card.lifecycle.managed else ProviderError):
        assert opener.open().handle in [session.id for session in opener.server.open_sessions()]


@pytest.mark.parametrize("fault", ["invalid_json", "huge_body", "html", "error_after_effect"])
def test_an_unreadable_answer_to_an_open_is_never_taken_for_a_refusal(opener: Stage, fault: str) -> None:
    opener.fault(fault, operation=opener.platform.open_operation, times=1)
    with pytest.raises(OutcomeUnknown if opener.card.lifecycle.managed else (NotSent, Misconfigured)):
        opener.open()


# status, close, list


def test_a_status_never_lies(stage: Stage) -> None:
    placed = stage.open()
    status = stage.play(lambda driver: driver.status(stage.target(placed)))
    assert status.life in (Life.UNKNOWN, Life.RUNNING)


def test_what_is_closed_is_gone_upstream(stage: Stage) -> None:
    closed = close(stage, stage.open())
    assert closed.proof
    assert stage.server.open_sessions() == []


def test_what_is_closed_twice_is_closed(stage: Stage) -> None:
    placed = stage.open()
    close(stage, placed)
    assert close(stage, placed).proof


@pytest.mark.parametrize("how", ["expired", "dead", "forgotten"])
def test_what_ended_by_itself_is_closed(stage: Stage, how: str) -> None:
    placed = stage.open()
    for session in stage.server.open_sessions():
        stage.server.end_session(session.id, how)
    assert close(stage, placed).proof


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("close_fails", {}),
        ("error_before", {}),
        ("error_after_effect", {}),
        ("cut_before_effect", {}),
        ("cut_after_effect", {}),
        ("cut_in_body", {}),
        ("hang", {}),
        ("unauthorized", {}),
        ("throttled", {}),
        ("html", {}),
        ("html", {"status": 200}),
        ("invalid_json", {}),
        ("huge_body", {}),
        ("redirect", {"location": "http://elsewhere.invalid/"}),
        ("status", {"status": 200, "body": {}}),
        ("status", {"status": 204}),
    ],
)
def test_without_an_answer_only_the_platforms_word_is_proof_of_a_close(
    stage: Stage, fault: str, params: dict[str, Any]
) -> None:
    placed = stage.open()
    stage.fault(fault, operation="close", **params)
    proof = None
    with suppress(NotClosed):
        story = lambda driver: driver.close(stage.target(placed))  # noqa: E731
        proof = stage.play(story, close_timeout_seconds=0.5).proof
    by_ping = stage.platform.ping_proves_close and fault in ("error_after_effect", "invalid_json")
    has_ended = (stage.card.status.can_ask or by_ping) and not stage.server.open_sessions()
    assert bool(proof) == (has_ended or not stage.card.lifecycle.managed)
    stage.server.clear_faults()
    assert close(stage, placed).proof
    assert stage.server.open_sessions() == []


def test_what_cannot_be_listed_says_so(stage: Stage) -> None:
    if stage.card.status.can_list:
        placed = stage.open()
        listed = stage.play(lambda driver: driver.list(secret()))
        assert placed.handle in {entry.handle for entry in listed}
    else:
        with pytest.raises(CannotAsk):
            stage.play(lambda driver: driver.list(secret()))


def test_what_is_closed_is_neither_listed_nor_running(stage: Stage) -> None:
    placed = stage.open()
    close(stage, placed)
    status = stage.play(lambda driver: driver.status(stage.target(placed)))
    assert status.life in (Life.UNKNOWN, Life.STOPPED, Life.GONE)
    if stage.card.status.can_list:
        listed = stage.play(lambda driver: driver.list(secret()))
        assert placed.handle not in {entry.handle for entry in listed}


@where(lambda card: card.lifecycle.closes_by_id)
def test_where_a_close_has_an_id_the_neighbour_lives_on(stage: Stage) -> None:
    placed, neighbour = stage.open(), stage.open(placement_id="p-2", name="p-2")
    assert placed.handle != neighbour.handle
    assert close(stage, placed, endpoint=None).closed_handle in (None, placed.handle)
    assert [session.id for session in stage.server.open_sessions()] == [neighbour.handle]
    target = stage.target(neighbour, placement_id="p-2")
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.ALIVE


@where(lambda card: card.identity.names_create and card.status.can_list)
def test_where_a_create_is_named_the_list_tells_the_name(stage: Stage) -> None:
    placed = stage.open(name="p-9")
    listed = stage.play(lambda driver: driver.list(secret()))
    assert [(entry.handle, entry.name, entry.foreign) for entry in listed] == [(placed.handle, "p-9", False)]


@pytest.mark.parametrize(
    ("name", "operation", "ask"),
    [(platform.name, *one) for platform in PLATFORMS for one in platform.long_lists],
)
def test_a_list_is_bounded_too_and_further_out(
    timed: SimulatorServer, name: str, operation: str, ask: str
) -> None:
    stage = stage_of(timed, platform_of(name))

    def reported(size_bytes: int) -> str:
        stage.fault("huge_body", operation=operation, times=1, size_bytes=size_bytes)
        story = lambda driver: driver.open(stage.order()) if ask == "open" else driver.list(secret())  # noqa: E731
        with pytest.raises(ProviderError) as refused:
            stage.play(story, max_list_bytes=1024 * 1024)
        stage.server.clear_faults()
        return str(refused.value)

    assert "too large" not in reported(100_000), "it is read, and found to be no list"
    assert "too large" in reported(2_000_000)
