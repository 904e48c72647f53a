"""Peculiarities of the Morpheus gateway: the key is the slot."""

import time
from typing import Any

import pytest

from orchestrator.providers.port.driver import Driver, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CallsRetired,
    KeyNotFree,
    Misconfigured,
    ModelMissing,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    ProviderFull,
)
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.providers.stage import OTHER_MODEL, Stage, secret, stage_of

PLATFORM = platform_of("morpheus")


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    return stage_of(server, PLATFORM)


def live(stage: Stage) -> list[str]:
    return [session.id for session in stage.server.open_sessions()]


def operations(stage: Stage) -> list[str]:
    return [call.operation for call in stage.server.log(upstream="up")]


def test_a_fresh_open_frees_the_key_first(stage: Stage) -> None:
    leftover = stage.open()
    placed = stage.open()
    assert live(stage) == [placed.handle] != [leftover.handle]
    assert operations(stage) == ["models", "close", "open"] * 2


def test_a_lost_open_is_adopted_by_repeating_it(stage: Stage) -> None:
    stage.fault("cut_after_effect", operation="open", times=1)
    with pytest.raises(OutcomeUnknown):
        stage.open()
    found = stage.resolve()
    assert isinstance(found, Placed)
    assert live(stage) == [found.handle]
    assert stage.server.report().opens == 1
    assert operations(stage) == ["models", "close", "open", "models", "open"]


def test_a_lost_open_of_a_bid_is_closed_and_never_repeated(stage: Stage) -> None:
    stage.fault("cut_after_effect", operation="open", times=1)
    options = {"bid_id": "0xb1d"}
    with pytest.raises(OutcomeUnknown):
        stage.open(options=options)
    assert isinstance(stage.resolve(options=options), NotPlaced)
    assert live(stage) == []
    report = stage.server.report()
    assert (report.opens, report.leaked) == (1, 0)


def test_bids_leak_nothing(stage: Stage) -> None:
    for _ in range(3):
        placed = stage.open(options={"bid_id": "0xb1d"}, model="not listed")
    assert live(stage) == [placed.handle]
    assert stage.server.report().leaked == 0


def test_the_order_travels_whole(stage: Stage) -> None:
    placed = stage.open(duration_seconds=10)
    (session,) = stage.server.open_sessions()
    assert placed.lasts_seconds == 300
    assert session.ends_at - session.opened_at == 300


@pytest.mark.parametrize("name", ["the-name", "0xABC", "0xabc"])
def test_a_model_is_known_by_name_and_by_id(server: SimulatorServer, name: str) -> None:
    server.reset()
    first = {"id": "default", "blockchain_id": "0x1"}
    mine = {"id": "mine", "name": "the-name", "blockchain_id": "0xabc"}
    stage = Stage(server, PLATFORM, server.add_upstream("up", "morpheus", [secret().value], [first, mine]))
    placed = stage.open(model=name)
    assert placed.endpoint.model == name
    assert [session.model for session in server.open_sessions()] == ["mine"]


def test_an_unknown_model_opens_no_default_and_displaces_nothing(stage: Stage) -> None:
    placed = stage.open()
    for story in (stage.open, stage.resolve):
        with pytest.raises((ModelMissing, OutcomeUnknown)):
            story(model="0xdead")
    assert live(stage) == [placed.handle]


def test_a_displaced_session_is_gone(stage: Stage) -> None:
    mine = stage.open()
    stage.open(model=OTHER_MODEL)
    answer = stage.play(lambda driver: driver.probe(stage.target(mine)))
    assert answer.verdict is Verdict.GONE


def test_closing_what_is_not_ours_says_that_the_key_is_shared(stage: Stage) -> None:
    mine = stage.open()
    theirs = stage.open(model=OTHER_MODEL)
    closed = stage.play(lambda driver: driver.close(stage.target(mine)))
    assert closed.closed_handle == theirs.handle
    assert "ownership lost" in closed.proof


def test_an_open_names_what_it_ended_under_the_key(stage: Stage) -> None:
    first = stage.open()
    assert (first.ended_handle, stage.open().ended_handle) == (None, first.handle)
    stage.fault("no_bids", operation="open")
    with pytest.raises(ProviderFull) as raised:
        stage.open()
    assert raised.value.ended_handle is not None


def test_a_close_names_what_it_closed_or_says_that_nothing_was_open(stage: Stage) -> None:
    placed = stage.open()
    first, second = (stage.play(lambda driver: driver.close(stage.target(placed))) for _ in range(2))
    assert (first.closed_handle, first.nothing_was_open) == (placed.handle, False)
    assert (second.closed_handle, second.nothing_was_open) == (None, True)


def test_no_bids_means_that_nothing_was_opened(stage: Stage) -> None:
    stage.fault("no_bids", operation="open")
    with pytest.raises(ProviderFull):
        stage.open()


@pytest.mark.parametrize(
    ("fault", "params", "orphans"),
    [
        ("error_before", {}, True),
        ("error_after_effect", {}, True),
        ("error_before", {"text": "transfer amount exceeds balance"}, True),
        ("html", {"status": 504}, True),
        ("cut_after_effect", {}, False),
        ("invalid_json", {}, False),
        ("status", {"status": 200, "body": {"success": True}}, False),
        ("status", {"status": 200, "body": {"success": False, "session_id": "0x1"}}, False),
        ("status", {"status": 408}, False),
    ],
)
def test_an_open_that_failed_somewhere_below_is_unknown(
    stage: Stage, fault: str, params: dict[str, Any], orphans: bool
) -> None:
    stage.fault(fault, operation="open", times=1, **params)
    with pytest.raises(OutcomeUnknown) as raised:
        stage.open()
    assert raised.value.possible_orphans is orphans
    assert isinstance(stage.resolve(), Placed)
    assert len(live(stage)) == 1


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "cut_before_effect"])
def test_while_resolving_a_refusal_proves_nothing(stage: Stage, fault: str) -> None:
    for operation in ("open", "models", "close"):
        stage.fault(fault, operation=operation)
    for close in (False, True):
        with pytest.raises(OutcomeUnknown):
            stage.resolve(close=close)


def test_a_key_that_cannot_be_freed_is_not_used(stage: Stage) -> None:
    leftover = stage.open()
    stage.fault("close_fails", operation="close")
    with pytest.raises(KeyNotFree):
        stage.open(model=OTHER_MODEL)
    assert live(stage) == [leftover.handle]
    assert len(stage.calls("close")) == 1 + 3


def test_a_close_that_fails_once_is_repeated_before_an_open(stage: Stage) -> None:
    stage.open()
    stage.fault("close_fails", operation="close", times=1)
    placed = stage.open()
    assert live(stage) == [placed.handle]


def test_a_sender_that_comes_to_itself_after_its_time_sends_nothing_more(stage: Stage) -> None:
    """Its lease may be another's by then, and a late close or open would hit the key's next user."""
    stage.fault("slow", "models", seconds=0.3)
    with pytest.raises(NotSent, match="too late"):
        stage.play(lambda driver: driver.open(stage.order()), open_timeout_seconds=0.2)
    assert (stage.calls("close"), stage.calls("open")) == ([], [])


def test_nothing_is_sent_before_it_is_known_that_the_key_is_free(stage: Stage) -> None:
    seen: list[list[str]] = []

    async def freed() -> None:
        seen.append(operations(stage))

    stage.open()
    stage.server.clear_log()
    stage.open(freed=freed)
    assert seen == [["models", "close"]]

    async def anothers() -> None:
        raise NotSent("the lease was lost")

    with pytest.raises(NotSent, match="lease was lost"):
        stage.open(freed=anothers)
    assert len(stage.calls("open")) == 1


def test_what_a_resolve_closed_is_named(stage: Stage) -> None:
    placed = stage.open()
    found = [stage.resolve(close=True) for _ in range(2)]
    assert [one.ended_handle for one in found] == [placed.handle, None]


def test_a_close_that_may_come_late_forbids_the_open(stage: Stage) -> None:
    stage.fault("cut_before_effect", operation="close", times=1)
    with pytest.raises(KeyNotFree) as raised:
        stage.open()
    assert raised.value.late
    assert stage.calls("open") == []


def test_retired_session_calls_refuse_the_key_and_are_no_death(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM)
    placed = stage.open()
    stage = stage_of(server, PLATFORM, retired=True)
    with pytest.raises(CallsRetired, match="retired here"):
        stage.open()
    with pytest.raises(NotClosed, match="retired here"):
        stage.play(lambda driver: driver.close(stage.target(placed)))
    with pytest.raises(OutcomeUnknown, match="retired here"):
        stage.resolve()


def test_a_refused_key_leaves_a_close_unproven(stage: Stage) -> None:
    placed = stage.open()
    with pytest.raises(NotClosed, match="Invalid API key"):
        stage.play(lambda driver: driver.close(stage.target(placed, secret=secret("sk-planted-wrong"))))


def test_nothing_but_a_chat_is_ever_asked_of_a_live_session(stage: Stage) -> None:
    placed = stage.open()
    stage.server.clear_log()
    target = stage.target(placed)
    assert stage.play(lambda driver: driver.probe(target)).verdict is Verdict.ALIVE
    assert stage.play(lambda driver: driver.status(target)).life is Life.UNKNOWN
    assert operations(stage) == ["chat"]


def test_without_a_credential_nothing_is_sent(stage: Stage) -> None:
    with pytest.raises(Misconfigured):
        stage.open(secret=None)
    assert operations(stage) == []


def test_models_are_checked_under_the_orders_own_name(stage: Stage) -> None:
    assert stage.open(model=MODEL).endpoint.model == MODEL


# the lease is over


def test_an_open_that_has_taken_too_long_sends_nothing_more(stage: Stage) -> None:
    """The key may have its next user: neither its session is closed, nor another opened beside it."""
    next_user = stage.open()
    stage.fault("slow", operation="models", seconds=0.5, times=1)

    async def late(driver: Driver) -> Placed:
        return await driver.open(stage.order(send_by=time.monotonic() + 0.2))

    with pytest.raises(NotSent, match="too late"):
        stage.play(late)
    assert live(stage) == [next_user.handle]
    assert operations(stage)[-1] == "models"


@pytest.mark.parametrize("options", [{}, {"bid_id": "0xb1d"}], ids=["repeats", "closes"])
def test_so_does_a_resolve(options: dict[str, str], stage: Stage) -> None:
    next_user = stage.open()
    before = len(stage.server.log(upstream="up", operation="close"))
    with pytest.raises(OutcomeUnknown, match="too late"):
        stage.resolve(options=options, send_by=time.monotonic() - 1)
    assert live(stage) == [next_user.handle]
    assert len(stage.server.log(upstream="up", operation="close")) == before


def test_so_does_a_close_and_its_repetitions(stage: Stage) -> None:
    placed = stage.open()
    before = len(stage.server.log(upstream="up", operation="close"))
    with pytest.raises(NotClosed, match="too late"):
        stage.play(lambda driver: driver.close(stage.target(placed, send_by=time.monotonic() - 1)))
    assert live(stage) == [placed.handle]
    assert len(stage.server.log(upstream="up", operation="close")) == before
