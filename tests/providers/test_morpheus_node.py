"""Peculiarities of the Morpheus consumer node: sessions on a chain, found by their wallet's list."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.providers.drivers.morpheus_node.chain import _closed
from orchestrator.providers.port.abilities import HasBalance
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Driver, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    NotClosed,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderFull,
    Throttled,
)
from orchestrator.rules.values import Verdict
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.providers.stage import OTHER_MODEL, Stage, secret, stage_of

PLATFORM = platform_of("morpheus-node")


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    return stage_of(server, PLATFORM)


def live(stage: Stage) -> list[str]:
    return [session.id for session in stage.server.open_sessions()]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def lose(stage: Stage, **changes: Any) -> str:
    """Let an open be mined, and answer it with an error."""
    before = set(live(stage))
    stage.fault("error_after_effect", operation="open", times=1, text="failed to get receipt: timeout")
    with pytest.raises(OutcomeUnknown):
        stage.open(**changes)
    (lost,) = set(live(stage)) - before
    return lost


def test_the_order_travels_whole(stage: Stage) -> None:
    placed = stage.open(duration_seconds=10)
    (session,) = stage.server.open_sessions()
    assert (placed.lasts_seconds, session.ends_at - session.opened_at) == (300, 300)
    assert (placed.handle, session.model) == (session.id, MODEL)
    assert placed.endpoint.url == f"{stage.url}/v1"
    assert placed.handle in str(placed.note)


def test_a_bid_is_opened_by_its_id(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, bids={"0xb1d": OTHER_MODEL})
    stage.open(options={"bid_id": "0xb1d"})
    (session,) = server.open_sessions()
    assert (session.model, session.label) == (OTHER_MODEL, "0xb1d")


# errors by their text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no bids available", ProviderFull),
        ("no provider accepting session", ProviderFull),
        ("execution reverted: ERC20: transfer amount exceeds balance", OutOfBalance),
        ("no provider accepting session: [{reason: transfer amount exceeds balance}]", OutOfBalance),
        ("failed to open session: nonce too low", Throttled),
        ("replacement transaction underpriced", Throttled),
        ("something else", OutcomeUnknown),
    ],
)
def test_an_open_fails_by_its_text(stage: Stage, text: str, expected: type[Exception]) -> None:
    stage.fault("error_before", operation="open", text=text)
    with pytest.raises(expected):
        stage.open()


def test_a_contended_open_rests_with_jitter(stage: Stage) -> None:
    stage.fault("error_before", operation="open", text="nonce too low")
    rests = set()
    for _ in range(3):
        with pytest.raises(Throttled) as raised:
            stage.open()
        rests.add(raised.value.retry_after_seconds)
    assert len(rests) == 3
    assert all(rest is not None and 2.5 <= rest <= 7.5 for rest in rests)


def test_a_wallet_without_funds_is_an_operators_matter(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, mor=10, stake=10)
    stage.open()
    with pytest.raises(OutOfBalance):
        stage.open()


# an open with a lost id


@pytest.mark.parametrize("casing", ["code", "camel", "lower"])
def test_a_mined_open_is_found_by_its_list(server: SimulatorServer, casing: str) -> None:
    stage = stage_of(server, PLATFORM, casing=casing)
    lost = lose(stage)
    found = stage.resolve()
    assert isinstance(found, Placed)
    assert (found.handle, live(stage)) == (lost, [lost])
    assert found.ends_at is not None
    assert server.report().opens == 1


def test_known_sessions_and_other_models_are_never_adopted(stage: Stage) -> None:
    known = stage.open().handle
    stage.open(model=OTHER_MODEL)
    assert isinstance(stage.resolve(known_handles=frozenset({known.upper()})), NotPlaced)
    lost = lose(stage)
    found = stage.resolve(known_handles=frozenset({known}))
    assert isinstance(found, Placed)
    assert found.handle == lost


@pytest.mark.parametrize("close", [True, False])
def test_of_two_that_fit_neither_is_touched(stage: Stage, close: bool) -> None:
    pair = [stage.open().handle, lose(stage)]
    with pytest.raises(OutcomeUnknown, match="cannot determine"):
        stage.resolve(close=close)
    assert live(stage) == pair


def test_what_may_be_a_rivals_is_not_touched(stage: Stage) -> None:
    lost = lose(stage)
    with pytest.raises(OutcomeUnknown, match="cannot determine"):
        stage.resolve(rivals_sent_at=(ago(20),))
    found = stage.resolve(rivals_sent_at=(ago(4000),))
    assert isinstance(found, Placed)
    assert found.handle == lost


def test_what_only_unwanted_orders_can_have_made_is_closed_whichevers_it_is(stage: Stage) -> None:
    lost = {lose(stage), lose(stage)}
    assert set(live(stage)) == lost
    nobody_wants = {"sent_at": ago(30), "unwanted_rivals_sent_at": (ago(20),)}
    assert isinstance(stage.resolve(close=True, **nobody_wants), NotPlaced)
    assert live(stage) == []


@pytest.mark.parametrize(
    ("close", "rivals"),
    [
        pytest.param(False, {"unwanted_rivals_sent_at": (ago(20),)}, id="this one is wanted"),
        pytest.param(
            True,
            {"unwanted_rivals_sent_at": (ago(20),), "rivals_sent_at": (ago(20),)},
            id="a third is wanted",
        ),
        pytest.param(True, {"unwanted_rivals_sent_at": (ago(4000),)}, id="the other cannot have made it"),
        pytest.param(True, {"unwanted_rivals_sent_at": (), "rivals_sent_at": ()}, id="there is no other"),
    ],
)
def test_of_two_that_somebody_may_want_neither_is_touched(stage: Stage, close: bool, rivals: Any) -> None:
    pair = [lose(stage), lose(stage)]
    with pytest.raises(OutcomeUnknown, match="cannot determine"):
        stage.resolve(close=close, sent_at=ago(30), **rivals)
    assert sorted(live(stage)) == sorted(pair)


def test_while_an_order_may_still_be_mined_what_is_there_may_be_anothers(stage: Stage) -> None:
    lost = lose(stage)
    with pytest.raises(OutcomeUnknown, match="cannot determine"):
        stage.play(
            lambda driver: driver.resolve(stage.order(unwanted_rivals_sent_at=(ago(20),)), close=True),
            open_within_seconds=3600,
        )
    assert live(stage) == [lost]


def test_without_the_time_of_the_order_nothing_is_adopted(stage: Stage) -> None:
    lose(stage)
    with pytest.raises(OutcomeUnknown):
        stage.resolve(sent_at=None)


@pytest.mark.parametrize("sent", [4000, -4000])
def test_what_was_opened_at_another_time_is_not_ours(stage: Stage, sent: float) -> None:
    lost = lose(stage)
    if sent > 0:
        assert isinstance(stage.resolve(sent_at=ago(sent)), NotPlaced)
    else:
        with pytest.raises(OutcomeUnknown, match="not listed yet"):
            stage.resolve(sent_at=ago(sent))
    assert live(stage) == [lost]


def test_a_young_list_proves_nothing(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, list_lag_seconds=3600)
    lose(stage)
    with pytest.raises(OutcomeUnknown, match="not listed yet"):
        stage.play(lambda driver: driver.resolve(stage.order(), close=False), list_lag_seconds=7200)


OTHERS = "0x" + "cd" * 20


def resolved(stage: Stage, **changes: Any) -> Placed | NotPlaced:
    """Resolve with a `user` that is not the node's wallet."""
    return stage.play(lambda driver: driver.resolve(stage.order(**changes), close=False), user=OTHERS)


def test_a_list_without_what_lives_for_us_proves_nothing(stage: Stage) -> None:
    ours, sent = stage.open().handle, ago(10_000)
    with pytest.raises(OutcomeUnknown, match=f"user is {OTHERS}"):
        resolved(stage, sent_at=sent, taken_handles=frozenset([ours]))
    stage.server.end_session(ours, "expired")
    assert isinstance(resolved(stage, sent_at=sent, taken_handles=frozenset([ours])), NotPlaced)


@pytest.mark.parametrize(("lag", "proves"), [(3600, True), (0, False)])
def test_what_lives_for_us_may_be_too_young_to_be_listed(stage: Stage, lag: float, proves: bool) -> None:
    ours = frozenset([stage.open().handle])
    stage.fault("empty_list", operation="list")
    order = stage.order(sent_at=ago(10_000), taken_handles=ours)
    options = {"list_lag_seconds": lag, "clock_skew_seconds": 0}
    if proves:
        assert isinstance(stage.play(lambda driver: driver.resolve(order, close=False), **options), NotPlaced)
    else:
        with pytest.raises(OutcomeUnknown, match="which lives"):
            stage.play(lambda driver: driver.resolve(order, close=False), **options)


def test_an_open_tells_whether_it_is_the_configured_wallets(stage: Stage) -> None:
    assert stage.open().misconfigured is None
    placed = stage.play(lambda driver: driver.open(stage.order()), user=OTHERS)
    assert f"user is {OTHERS}" in str(placed.misconfigured)


@pytest.mark.parametrize("fault", ["error_before", "hang", "invalid_json", "gone"])
def test_an_open_is_open_whatever_is_said_of_it_afterwards(stage: Stage, fault: str) -> None:
    stage.fault(fault, operation="status")
    placed = stage.play(lambda driver: driver.open(stage.order()), user=OTHERS, open_timeout_seconds=2)
    assert ([placed.handle], placed.misconfigured) == (live(stage), None)


def test_a_lost_open_that_ended_since_is_over(stage: Stage) -> None:
    stage.server.end_session(lose(stage), "expired")
    found = stage.resolve()
    assert isinstance(found, NotPlaced)
    assert "has ended" in found.proof


def test_a_candidate_is_looked_at_first(stage: Stage) -> None:
    mine, _other = stage.open().handle, stage.open().handle
    found = stage.resolve(handle=mine)
    assert isinstance(found, Placed)
    assert found.handle == mine
    assert isinstance(stage.resolve(handle=mine, close=True), NotPlaced)
    assert mine not in live(stage)
    assert isinstance(stage.resolve(handle=mine), NotPlaced)


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "invalid_json", "cut_before_effect"])
def test_while_resolving_a_refusal_proves_nothing(stage: Stage, fault: str) -> None:
    stage.fault(fault, operation="list")
    with pytest.raises((OutcomeUnknown, NotSent)):
        stage.resolve()


# lists


def test_every_page_is_read(stage: Stage) -> None:
    handles = [stage.open().handle for _ in range(5)]
    listed = stage.play(lambda driver: driver.list(secret()), list_page_size=2)
    assert [entry.handle for entry in listed] == handles
    assert len(stage.calls("list")) == 3
    assert all(entry.opened_at and entry.ends_at for entry in listed)


def test_a_list_beyond_its_bound_is_no_list(stage: Stage) -> None:
    for _ in range(3):
        stage.open()
    with pytest.raises(OutcomeUnknown, match="list_pages"):
        stage.play(lambda driver: driver.list(secret()), list_page_size=1, list_pages=2)


def test_what_has_ended_is_not_listed(stage: Stage) -> None:
    ended, remains = stage.open().handle, stage.open().handle
    stage.server.end_session(ended, "expired")
    assert [entry.handle for entry in stage.play(lambda driver: driver.list(secret()))] == [remains]


# close


@pytest.mark.parametrize(
    ("how", "proof"),
    [("expired", "transaction"), ("dead", "SessionAlreadyClosed"), ("forgotten", "session not found")],
)
def test_each_end_has_its_proof(stage: Stage, how: str, proof: str) -> None:
    placed = stage.open()
    stage.server.end_session(placed.handle, how)
    closed = stage.play(lambda driver: driver.close(stage.target(placed)))
    assert proof in closed.proof


def test_an_eager_close_does_not_wait(stage: Stage) -> None:
    placed = stage.open(duration_seconds=300)
    closed = stage.play(lambda driver: driver.close(stage.target(placed)))
    assert closed.closed_handle == placed.handle
    assert live(stage) == []


def test_a_natural_close_leaves_a_near_end_alone_until_it_has_come(stage: Stage) -> None:
    placed = stage.open(duration_seconds=300)
    natural = {"close_policy": "natural", "natural_within_seconds": 400}
    with pytest.raises(NotClosed, match="left to its own end"):
        stage.play(lambda driver: driver.close(stage.target(placed)), **natural)
    assert live(stage) == [placed.handle]
    stage.server.end_session(placed.handle, "expired")
    closed = stage.play(lambda driver: driver.close(stage.target(placed)), **natural)
    assert closed.proof.startswith("ended by itself at")
    assert stage.calls("close") == []


def test_a_natural_close_does_not_wait_for_a_far_end(stage: Stage) -> None:
    placed = stage.open(duration_seconds=7200)
    stage.play(lambda driver: driver.close(stage.target(placed)), close_policy="natural")
    assert live(stage) == []


def test_without_an_id_nothing_is_closed(stage: Stage) -> None:
    placed = stage.open()
    with pytest.raises(NotClosed, match="not known"):
        stage.play(lambda driver: driver.close(stage.target(placed, handle=None)))


# status, balance and pings


@pytest.mark.parametrize(
    ("how", "life"),
    [(None, Life.RUNNING), ("expired", Life.GONE), ("dead", Life.GONE), ("forgotten", Life.GONE)],
)
def test_the_node_tells_the_state_of_a_session(stage: Stage, how: str | None, life: Life) -> None:
    placed = stage.open()
    if how:
        stage.server.end_session(placed.handle, how)
    status = stage.play(lambda driver: driver.status(stage.target(placed)))
    assert (status.life, status.expired) == (life, how == "expired")


def test_a_node_that_fails_says_nothing_of_the_session(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("error_before", operation="status")
    assert stage.play(lambda driver: driver.status(stage.target(placed))).life is Life.UNKNOWN


def test_the_balance_is_reported_in_whole_tokens(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, mor=25 * 10**17)

    async def story(driver: Any) -> Any:
        assert isinstance(driver, HasBalance)
        return await driver.balance(secret())

    balance = stage.play(story)
    assert (balance.amount, balance.currency) == (Decimal("2.5"), "MOR")


def test_an_error_within_a_stream_is_read_by_its_text(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, errors_as_events=True)
    placed = stage.open()
    stage.server.end_session(placed.handle, "expired")
    answer = stage.play(lambda driver: driver.probe(stage.target(placed)))
    assert (answer.verdict, "session expired" in answer.detail) == (Verdict.GONE, True)


def test_a_ping_names_its_session(stage: Stage) -> None:
    both = [stage.open(), stage.open()]

    async def story(driver: Driver) -> None:
        for placed in both:
            await driver.probe(stage.target(placed))

    stage.play(story)
    assert [call.session for call in stage.calls("chat")] == [placed.handle for placed in both]


@pytest.mark.parametrize(
    ("transaction", "proves"),
    [
        ("0x" + "ab" * 32, True),
        ("0x" + "AB" * 32, True),
        ("pending", False),
        ("error: nonce too low", False),
        ("0x", False),
        ("0x" + "ab" * 33, False),
        ("0xzz", False),
        ("", False),
        (None, False),
        (["0xab"], False),
    ],
)
def test_only_the_hash_of_a_transaction_proves_a_close(transaction: object, proves: bool) -> None:
    body = json.dumps({"tx": transaction}).encode()
    answer = Response(status=200, body=body, received_at=datetime(2026, 1, 1, tzinfo=UTC))
    if proves:
        assert _closed(answer, "0x1").closed_handle == "0x1"
    else:
        with pytest.raises(NotClosed):
            _closed(answer, "0x1")
