"""A control API that is described by the configuration alone: how it is called, and how its lost answers are found."""

import asyncio
from typing import Any

import pytest

from orchestrator.providers import registry
from orchestrator.providers.port.driver import Auth, Endpoint, Life, NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CannotAsk,
    NotClosed,
    OutcomeUnknown,
    OutOfBalance,
    ProviderFull,
    Throttled,
)
from orchestrator.simulator import SimulatorServer
from tests.drivers import MODEL, platform_of
from tests.drivers.fpt import TEMPLATE
from tests.providers.asking import client
from tests.providers.rawserver import read_request, serving
from tests.providers.stage import Stage, secret, stage_of

PLATFORM = platform_of("fpt-template")
ENDPOINT = Endpoint(url="http://endpoint/v1", model=MODEL, auth=Auth.NONE, secret_ref=None)


@pytest.fixture
def stage(server: SimulatorServer) -> Stage:
    return stage_of(server, PLATFORM)


def table(name: str, **changes: Any) -> dict[str, Any]:
    return {name: {**TEMPLATE[name], **changes}}


def live(stage: Stage) -> list[str]:
    return [session.id for session in stage.server.open_sessions()]


def lose(stage: Stage) -> None:
    stage.fault("cut_after_effect", operation="open", times=1)
    with pytest.raises(OutcomeUnknown):
        stage.open()


def test_the_order_fills_the_template_with_its_own_types(stage: Stage) -> None:
    placed = stage.open(duration_seconds=600)
    (session,) = stage.server.open_sessions()
    assert (session.label, session.model, session.ends_at - session.opened_at) == (
        "int.session-1",
        MODEL,
        600,
    )
    assert placed.handle == session.id
    assert placed.endpoint.url == f"{stage.url}/sessions/{session.id}"
    assert placed.ends_at is not None
    assert abs(placed.ends_at.timestamp() - session.ends_at) < 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ["open", "close"])
def test_no_method_makes_a_call_that_changes_something_go_out_twice(name: str, method: str) -> None:
    heads: list[bytes] = []

    async def lost(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))

    async def story() -> None:
        changed = {
            **TEMPLATE,
            **table(name, method=method),
            "status": None,
            "list": None,
            "names_create": False,
        }
        more = {"endpoint_url": "http://endpoint/v1", "lost_opens_need_an_operator": True}
        async with serving(lost) as url, client() as http:
            driver = registry.build("up", "fpt", {**changed, **more, "base_url": url}, http)
            if name == "open":
                await driver.open(order)
            else:
                await driver.close(target)

    stage = Stage(None, PLATFORM, "http://up")  # type: ignore[arg-type]
    order, target = stage.order(), stage.target(Placed(handle="s-1", endpoint=ENDPOINT))
    with pytest.raises((OutcomeUnknown, NotClosed)):
        asyncio.run(story())
    assert len(heads) == 1


def test_the_endpoint_may_have_a_secret_of_its_own(stage: Stage) -> None:
    story = lambda driver: driver.open(stage.order())  # noqa: E731
    placed = stage.play(story, endpoint_secret_ref="env:ENDPOINT", endpoint_auth="x-api-key")
    assert (placed.endpoint.secret_ref, placed.endpoint.auth) == ("env:ENDPOINT", Auth.X_API_KEY)


def test_an_endpoint_that_is_not_reported_stays_unknown_until_the_status_names_it(stage: Stage) -> None:
    silent = table("open", endpoint_url=None)
    with pytest.raises(OutcomeUnknown, match="endpoint is not known"):
        stage.play(lambda driver: driver.open(stage.order()), **silent)
    found = stage.play(lambda driver: driver.resolve(stage.order(), close=False), **silent)
    assert isinstance(found, Placed)
    assert live(stage) == [found.handle]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ("full", ProviderFull),
        ("out_of_balance", OutOfBalance),
        ("throttled", Throttled),
        ("loading", OutcomeUnknown),
    ],
)
def test_the_configuration_says_what_an_error_means(
    stage: Stage, means: str, expected: type[Exception]
) -> None:
    stage.fault("error_before", operation="open", text="E-4711: come back")
    errors = [{"statuses": [500], "pattern": "E-4711", "means": means}]
    with pytest.raises(expected):
        stage.play(lambda driver: driver.open(stage.order()), errors=errors)


@pytest.mark.parametrize("body", [{}, {"data": {"id": ""}}, {"data": {"id": None}}, []])
def test_an_open_without_a_handle_is_unknown(stage: Stage, body: Any) -> None:
    stage.fault("status", operation="open", status=201, body=body, effect=True)
    with pytest.raises(OutcomeUnknown):
        stage.open()


def test_a_name_that_is_taken_may_be_taken_by_ourselves(server: SimulatorServer) -> None:
    stage = stage_of(server, PLATFORM, idempotent=False)
    lose(stage)
    with pytest.raises(OutcomeUnknown, match="taken"):
        stage.open()
    assert isinstance(stage.resolve(), Placed)


WAYS = [
    pytest.param({}, id="by status"),
    pytest.param({"status": None}, id="by list"),
    pytest.param(table("status", url="/sessions/{handle}"), id="by list and status"),
    pytest.param({"status": None, "list": None, "idempotent_open": True}, id="by repeating"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("close", [True, False])
def test_a_lost_open_is_found(stage: Stage, way: dict[str, Any], close: bool) -> None:
    lose(stage)
    (lost,) = live(stage)
    more = {"endpoint_url": f"{stage.url}/sessions/{lost}", **way}
    found = stage.play(lambda driver: driver.resolve(stage.order(), close=close), **more)
    if close:
        assert isinstance(found, NotPlaced)
        assert live(stage) == []
    else:
        assert isinstance(found, Placed)
        assert (found.handle, live(stage)) == (lost, [lost])
    assert stage.server.report().double_opens == 0


@pytest.mark.parametrize("way", WAYS[:3])
def test_what_was_never_opened_is_not_opened_by_asking(stage: Stage, way: dict[str, Any]) -> None:
    more = {"endpoint_url": f"{stage.url}/sessions/x", **way}
    found = stage.play(lambda driver: driver.resolve(stage.order(), close=False), **more)
    assert isinstance(found, NotPlaced)
    assert stage.calls("open") == []


def test_where_nothing_can_find_it_an_operator_must_look(stage: Stage) -> None:
    with pytest.raises(OutcomeUnknown, match="an operator must look"):
        stage.play(
            lambda driver: driver.resolve(stage.order(), close=False),
            status=None,
            list=None,
            lost_opens_need_an_operator=True,
        )
    assert stage.calls("open") == []


@pytest.mark.parametrize("word", ["Running", "Melting"])
def test_what_exists_and_cannot_be_used_is_closed_where_nobody_wants_it(stage: Stage, word: str) -> None:
    """Without an endpoint, or in an unknown state, it costs anyway."""
    lose(stage)
    (lost,) = live(stage)
    for _ in range(2):
        body = {"data": {"id": lost, "status": word}}
        stage.fault("status", operation="status", status=200, body=body, times=1)
        with pytest.raises(OutcomeUnknown):
            stage.resolve()
    stage.fault("status", operation="status", status=200, body=body, times=1)
    assert isinstance(stage.resolve(close=True), NotPlaced)
    assert live(stage) == []


@pytest.mark.parametrize("operation", ["status"])
@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "html"])
def test_while_resolving_a_refusal_proves_nothing(stage: Stage, operation: str, fault: str) -> None:
    stage.fault(fault, operation=operation)
    with pytest.raises(Exception, match="HTTP") as raised:
        stage.resolve()
    assert not isinstance(raised.value, (ProviderFull, OutOfBalance))
    assert live(stage) == []


@pytest.mark.parametrize(
    ("word", "life"), [("RUNNING", Life.RUNNING), ("Initializing", Life.STARTING), ("?", Life.UNKNOWN)]
)
def test_words_are_compared_without_case(stage: Stage, word: str, life: Life) -> None:
    placed = stage.open()
    stage.fault("status", operation="status", status=200, body={"data": {"status": word}})
    assert stage.play(lambda driver: driver.status(stage.target(placed))).life is life


def test_an_accepted_close_is_no_proof_while_the_status_says_otherwise(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("status", operation="close", status=202, body={})
    with pytest.raises(NotClosed, match="still: Running"):
        stage.play(lambda driver: driver.close(stage.target(placed)))
    trusting = stage.play(lambda driver: driver.close(stage.target(placed)), confirm_close=False)
    assert "HTTP 202" in trusting.proof


def test_what_is_not_there_is_gone_only_where_the_answer_or_the_operator_says_so(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("status", operation="close", status=404, body={"detail": "no route"})
    story = lambda driver: driver.close(stage.target(placed))  # noqa: E731
    with pytest.raises(NotClosed):
        stage.play(story)
    closed = stage.play(story, errors=[{"statuses": [404], "means": "gone"}])
    assert closed.proof.startswith("already gone")


@pytest.mark.parametrize("unknown", [{"handle": None}, {"name": None}])
def test_what_cannot_be_addressed_is_not_taken_for_closed(stage: Stage, unknown: dict[str, None]) -> None:
    placed = stage.open()
    with pytest.raises(NotClosed):
        stage.play(lambda driver: driver.close(stage.target(placed, **unknown)), list=None)


def test_where_its_status_cannot_be_asked_the_list_tells_whether_it_has_ended(stage: Stage) -> None:
    placed = stage.open()
    stage.fault("error_before", operation="close", times=1)
    story = lambda driver: driver.close(stage.target(placed))  # noqa: E731
    without = {"status": None, "endpoint_url": "http://endpoint/v1"}
    with pytest.raises(NotClosed, match="still listed"):
        stage.play(story, **without)
    stage.server.end_session(placed.handle, "expired")
    stage.fault("error_before", operation="close")
    assert stage.play(story, **without).proof == f"{placed.handle} is not listed after the close"


def test_only_live_items_are_listed(stage: Stage) -> None:
    ended, remains = stage.open(name="a"), stage.open(name="b")
    stage.server.end_session(ended.handle, "expired")
    (entry,) = stage.play(lambda driver: driver.list(secret()))
    assert (entry.handle, entry.name) == (remains.handle, "b")
    assert entry.opened_at is not None
    assert entry.ends_at is not None


@pytest.mark.parametrize("body", [{}, {"data": {"items": [{"noid": 1}]}}])
def test_a_list_that_cannot_be_read_is_not_empty(stage: Stage, body: Any) -> None:
    stage.fault("status", operation="list", status=200, body=body)
    with pytest.raises(OutcomeUnknown):
        stage.play(lambda driver: driver.list(secret()))


@pytest.mark.parametrize("total", [2, "2", None])
def test_a_page_of_a_list_proves_nothing(stage: Stage, total: Any) -> None:
    item = {"data": {"id": "s-9", "name": "another", "status": "Running"}}
    body = {"data": {"items": [item], "total": total}}
    stage.fault("status", operation="list", status=200, body=body)
    by_list = {"status": None, "endpoint_url": "http://endpoint/v1"}
    for story in (
        lambda driver: driver.list(secret()),
        lambda driver: driver.resolve(stage.order(), close=False),
    ):
        with pytest.raises(OutcomeUnknown, match="fewer entries than its total"):
            stage.play(story, **by_list)


def test_a_list_of_as_many_as_it_says_is_whole(stage: Stage) -> None:
    item = {"data": {"id": "s-9", "name": "another", "status": "Stopped"}}
    stage.fault("status", operation="list", status=200, body={"data": {"items": [item], "total": 1}})
    by_list = {"status": None, "endpoint_url": "http://endpoint/v1"}
    resolve = lambda driver: driver.resolve(stage.order(), close=False)  # noqa: E731
    assert isinstance(stage.play(resolve, **by_list), NotPlaced)


def test_without_a_list_nothing_is_listed(stage: Stage) -> None:
    with pytest.raises(CannotAsk):
        stage.play(lambda driver: driver.list(secret()), list=None)
