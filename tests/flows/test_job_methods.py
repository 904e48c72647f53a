"""The typed methods of both clients: requests and answers over a real broker, and names that do not exist."""

import asyncio
import typing
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery

from orchestrator.client import (
    JOBS,
    JOBS_QUEUE,
    AsyncJobClient,
    CloseSession,
    CreateSession,
    GetSession,
    JobClient,
    JobRefused,
    JobUnanswered,
    StopRequest,
    requests,
    resources,
)
from orchestrator.client.job_methods import JobMethod, JobMethods
from orchestrator.client.results import RESULTS
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State
from tests.over_celery import serving
from tests.world import World

#: Celery's result store calls deprecated parts of redis-py; as an error that would end the worker in our process.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

STOP = StopRequest(max_duration_seconds=600, max_cost=Decimal("1.50"))
NEW = CreateSession(account_id="acme", model_id="llama", session_id="s-1", stop=STOP)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def served(world: World, valkey_url: str) -> Iterator[str]:
    """Return the URL of a broker with the small world behind it."""
    with serving(world, valkey_url):
        yield valkey_url


def on_a_loop(url: str, story: Callable[[AsyncJobClient], Awaitable[None]]) -> None:
    """Run the story with a client of this URL."""

    async def ask() -> None:
        async with AsyncJobClient(url, url) as jobs:
            await story(jobs)

    asyncio.run(ask())


def test_a_life_by_typed_methods(served: str, world: World) -> None:
    with JobClient(served, served) as jobs:
        created = jobs.session_create(NEW, timeout=20)
        assert (created.id, created.state) == ("s-1", State.STARTING)
        world.settle()
        running = jobs.session_get(GetSession(session_id="s-1"))
        assert running.endpoint is not None
        assert [one.id for one in jobs.session_list(state=["running"]).items] == ["s-1"]
        assert jobs.account_get(account_id="acme").balance == "100.00"
        closed = jobs.session_close(CloseSession(session_id="s-1"), task_id="close-1")
        assert closed.state == "stopping"
        with pytest.raises(JobRefused, match="unknown_session: session nobody is unknown") as caught:
            jobs.session_get(session_id="nobody")
        assert (caught.value.code, caught.value.details) == ("unknown_session", {"session_id": "nobody"})


def test_the_same_on_an_event_loop_many_at_once(served: str, world: World) -> None:
    async def story(jobs: AsyncJobClient) -> None:
        await jobs.check()
        created = await jobs.session_create(NEW, timeout=20)
        assert created.state is State.STARTING
        read = await asyncio.gather(*(jobs.session_get(session_id="s-1") for _ in range(20)))
        assert {one.id for one in read} == {"s-1"}
        outcome = await jobs.call("orchestrator.session.get", GetSession(session_id="s-1"))
        assert outcome is not None
        assert outcome["result"]["id"] == "s-1"
        with pytest.raises(JobRefused, match="unknown_account"):
            await jobs.account_get(account_id="nobody")

    on_a_loop(served, story)


def test_an_outcome_that_does_not_come_names_its_task_id(valkey_url: str) -> None:
    with (
        JobClient(valkey_url, valkey_url) as jobs,
        pytest.raises(JobUnanswered, match="wait for its task id mine"),
    ):
        jobs.session_ping(session_id="s-1", timeout=0, task_id="mine")

    async def story(client: AsyncJobClient) -> None:
        with pytest.raises(JobUnanswered, match="wait for its task id mine"):
            await client.session_ping(session_id="s-1", timeout=0.05, task_id="mine")

    on_a_loop(valkey_url, story)


def test_any_celery_app_sends_requests_within_its_arguments(served: str) -> None:
    plain = Celery("other", broker=served, backend=served, set_as_current=False)
    kwargs = {"account_id": "acme", "model_id": "llama", "session_id": "s-1", "stop": STOP}
    sent = plain.send_task("orchestrator.session.create", kwargs=kwargs, queue=JOBS_QUEUE)
    outcome = sent.get(timeout=20)
    sent.forget()
    plain.close()
    assert (outcome["ok"], outcome["result"]["id"]) == (True, "s-1")


@pytest.mark.parametrize("kind", [JobClient, AsyncJobClient])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("session_creat", "has no method session_creat; did you mean session_create?"),
        ("acount_get", "has no method acount_get; did you mean account_get?"),
        ("xyz", "has no method xyz$"),
    ],
)
def test_a_misspelt_method_is_refused_with_a_suggestion(kind: Any, name: str, said: str) -> None:
    with pytest.raises(AttributeError, match=f"{kind.__name__} {said}".replace("?", r"\?")):
        getattr(kind(NOWHERE, NOWHERE), name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("orchestrator.session.creat", r"unknown job; did you mean orchestrator.session.create\?$"),
        ("session.close", r"unknown job; did you mean orchestrator.session.close\?$"),
        ("sk-live-1234", "unknown job; known are orchestrator.session.create, "),
    ],
)
def test_a_misspelt_job_is_refused_before_anything_is_sent(name: str, said: str) -> None:
    with JobClient(NOWHERE, NOWHERE) as jobs, pytest.raises(Refusal, match=said) as caught:
        jobs.send(name, {})
    assert caught.value.code is ErrorCode.INVALID_REQUEST

    async def story(client: AsyncJobClient) -> None:
        with pytest.raises(Refusal, match=said):
            await client.send(name, {})

    on_a_loop(NOWHERE, story)


@pytest.mark.parametrize(
    ("request_", "fields", "said"),
    [
        (GetSession(session_id="s"), {}, "session.close takes a CloseSession, not a GetSession"),
        (None, {"session": "s"}, "session_id: is missing"),
        (None, {"session_id": "s", "confirm": True}, "only an operator can prove a close"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_sent(request_: Any, fields: Any, said: str) -> None:
    with JobClient(NOWHERE, NOWHERE) as jobs, pytest.raises(Refusal, match=said):
        jobs.session_close(request_, **fields)


def test_every_job_has_its_method_with_its_types() -> None:
    methods = {one: getattr(JobMethods, one) for one in dir(JobMethods) if not one.startswith("_")}
    assert {method.name for method in methods.values()} == set(JOBS) == set(RESULTS)
    names = {"requests": requests, "resources": resources, "JobMethod": JobMethod}
    hints = typing.get_type_hints(JobMethods, localns=names)
    for attribute, method in methods.items():
        assert f"orchestrator.{attribute.replace('_', '.', 1)}" == method.name
        assert typing.get_args(hints[attribute]) == (JOBS[method.name], RESULTS[method.name])


def test_no_job_has_a_field_with_the_name_of_an_option() -> None:
    assert {"timeout", "task_id"}.isdisjoint(field for job in JOBS.values() for field in job.model_fields)
