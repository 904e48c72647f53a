"""The demo's judgement: late, refused, broken or wrong results are never accepted as right."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cli.demo import ending, play
from orchestrator.cli.demo.actor import Actor, World
from orchestrator.cli.demo.books import AccountBalance
from orchestrator.cli.demo.checks import Deadline, Expectation, ProviderView, Seen, Summary
from orchestrator.cli.demo.scenes import Scene
from orchestrator.cli.demo.screen import Screen
from orchestrator.cli.demo.watch import Watch

Answer = Callable[[str, Mapping[str, Any]], dict[str, Any] | None]


class Jobs:
    """Answers jobs with given outcomes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._sent: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def send(self, name: str, kwargs: Mapping[str, Any]) -> str:
        task_id = str(len(self._sent))
        self._sent[task_id] = (name, kwargs)
        return task_id

    def wait(self, task_id: str, timeout: float) -> dict[str, Any] | None:
        return self._answer(*self._sent[task_id])


def accepts(_name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": {"id": kwargs.get("session_id"), "state": "starting"}}


def refuses(_name: str, _kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": False, "error": {"code": "no_capacity", "message": "full", "details": {}}}


def says_nothing(_name: str, _kwargs: Mapping[str, Any]) -> None:
    return None


def a_world(answer: Answer = accepts, *, seconds: float = 5.0) -> World:
    nobody = cast(Any, None)
    return World(
        jobs=cast(Any, Jobs(answer)),
        watch=Watch(nobody),
        books=nobody,
        upstream=nobody,
        deadline=Deadline(seconds),
    )


def an_event(kind: str, number: int = 0, **data: Any) -> dict[str, Any]:
    common = {"account_id": "zoe", "name": "chat", "stop_reason": None}
    return {
        "id": f"{kind}-{number}",
        "type": f"orchestrator.session.{kind}",
        "subject": "zoe-chat",
        "time": "2026-01-01T12:00:00Z",
        "data": common | data,
    }


def perform(world: World, *plays: Callable[[Actor], None]) -> list[Expectation]:
    return play.perform([Scene("zoe", "1.00", steps) for steps in plays], world, Screen(), last_words=0.2)


VIEW = ProviderView(
    open_now=0,
    opens=2,
    closes=2,
    most_active_per_key={"gateway": {"sk-1": 1, "sk-2": 1}},
    pings_after_close=0,
    calls={"chat": 9},
)


def test_a_scene_that_breaks_is_a_failure_and_hides_no_other() -> None:
    def breaks(_actor: Actor) -> None:
        raise ValueError("no such thing")

    def goes_well(actor: Actor) -> None:
        actor.note("it happens", Seen("it happened", ok=True))

    checks = perform(a_world(), breaks, goes_well)
    assert [(check.happened, check.ok) for check in checks] == [
        ("ValueError: no such thing", False),
        ("it happened", True),
    ]


def test_a_scene_that_hangs_is_given_up() -> None:
    released = threading.Event()

    def hangs(_actor: Actor) -> None:
        released.wait(30)

    checks = perform(a_world(seconds=0.2), hangs)
    released.set()
    assert [(check.happened, check.ok) for check in checks] == [("it hangs", False)]


def test_a_job_without_an_outcome_is_late_and_what_follows_is_listed_too() -> None:
    def expects_two(actor: Actor) -> None:
        for what in ("a first", "a second"):
            actor.expect_refusal(what, "no_capacity", actor.request("one", "llama"))

    actor = Actor("zoe", a_world(says_nothing, seconds=0.05))
    expects_two(actor)
    assert [check.expected for check in actor.checks] == [
        "a first is refused: no_capacity",
        "a second is refused: no_capacity",
    ]
    assert {(check.happened, check.ok) for check in actor.checks} == {
        ("session.create had no outcome in time", False)
    }


@pytest.mark.parametrize(
    ("answer", "code", "happened", "ok"),
    [
        pytest.param(refuses, "no_capacity", "refused: no_capacity", True, id="as expected"),
        pytest.param(refuses, "name_taken", "refused: no_capacity", False, id="for another reason"),
        pytest.param(accepts, "no_capacity", "accepted: it is starting", False, id="not at all"),
    ],
)
def test_a_refusal_counts_only_for_its_reason(answer: Answer, code: str, happened: str, ok: bool) -> None:
    actor = Actor("zoe", a_world(answer))
    actor.expect_refusal("it", code, actor.request("one", "llama"))
    assert [(check.happened, check.ok) for check in actor.checks] == [(happened, ok)]


@pytest.mark.parametrize(
    ("reported", "reason", "happened", "ok"),
    [
        pytest.param(["running", "stopping", "stopped"], "dead", "running → stopping → stopped (dead)", True),
        pytest.param(
            ["running", "stopping", "stopped"], "user", "running → stopping → stopped (user)", False
        ),
        pytest.param(["running"], "dead", "running", False),
        pytest.param(["failed"], "start_failed", "failed (start_failed)", False),
        pytest.param([], None, "no event of it came", False),
    ],
)
def test_a_life_counts_only_as_it_was_reported(
    reported: list[str], reason: str | None, happened: str, ok: bool
) -> None:
    world = a_world(seconds=0.1)
    actor = Actor("zoe", world)
    session = actor.create("chat", "llama")
    for number, kind in enumerate(reported):
        world.watch.take(an_event(kind, number, stop_reason=reason))
    actor.expect_states(session, "running", "stopping", "stopped", reason="dead")
    assert [(check.happened, check.ok) for check in actor.checks] == [(happened, ok)]


def test_an_event_that_comes_twice_is_reported_once() -> None:
    world = a_world()
    for _ in range(2):
        world.watch.take(an_event("running"))
    story = world.watch.wait("zoe-chat", lambda story: bool(story.states), world.deadline)
    assert story.states == ["running"]
    assert len(world.watch.news()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"open_now": 1, "closes": 1}, id="one is still open"),
        pytest.param({"closes": 1}, id="one ended by itself"),
        pytest.param({"opens": 0, "closes": 0}, id="nothing was opened at all"),
        pytest.param({"most_active_per_key": {"gateway": {"sk-1": 2}}}, id="two on one key"),
        pytest.param({"most_active_per_key": {}}, id="no key was used"),
        pytest.param({"pings_after_close": 1}, id="a ping after the close"),
    ],
)
def test_the_providers_may_object(changes: dict[str, Any]) -> None:
    assert all(check.ok for check in ending.check_providers(VIEW))
    assert not all(check.ok for check in ending.check_providers(replace(VIEW, **changes)))


@pytest.mark.parametrize(
    ("cached", "ledger", "right"), [("1.00", "1.0", True), ("1.00", "1.01", False), ("-1", "-1", False)]
)
def test_a_balance_is_right_where_its_ledger_agrees(cached: str, ledger: str, right: bool) -> None:
    assert AccountBalance("zoe", Decimal(cached), Decimal(ledger)).is_right is right


def test_a_summary_of_nothing_is_no_success() -> None:
    good, bad = Expectation("a", "b", "b", ok=True), Expectation("a", "b", "c", ok=False)
    assert Summary(seconds=1, checks=[good], provider_view=VIEW).ok
    assert not Summary(seconds=1, checks=[good, bad], provider_view=VIEW).ok
    assert not Summary(seconds=1, checks=[], provider_view=None).ok


def test_a_summary_for_machines_names_each_check_and_where_the_logs_are() -> None:
    bad = Expectation("zoe", "it lives", "it died", ok=False)
    summary = Summary(seconds=1.23, checks=[bad], provider_view=VIEW).with_logs(Path("/logs")).as_json()
    assert summary == {
        "ok": False,
        "seconds": 1.2,
        "checks": [{"scene": "zoe", "expected": "it lives", "happened": "it died", "ok": False}],
        "provider_view": {
            "open_now": 0,
            "opens": 2,
            "closes": 2,
            "most_active_per_key": {"gateway": {"sk-1": 1, "sk-2": 1}},
            "pings_after_close": 0,
            "calls": {"chat": 9},
        },
        "logs": "/logs",
    }
