"""Jobs that only read: they answer what the HTTP API answers, and write nothing."""

import json
from typing import Any

import pytest

from orchestrator.client import resources
from orchestrator.flows.jobs.perform import give_up, perform
from orchestrator.flows.jobs.reads import READS
from tests.flows.conftest import MakeWorld
from tests.flows.dumps import dump
from tests.world import MINUTE, SECOND, World


def pages(world: World, **wanted: Any) -> list[list[str]]:
    """Return the ids of each page, until the last."""
    found: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        page = world.done("session.list", **wanted, **after)
        found.append([one["id"] for one in page["items"]])
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_a_session_is_read_as_it_is_now(world: World) -> None:
    session_id = world.run_session()
    read = world.done("session.get", session_id=session_id)
    assert read == world.view(session_id)
    assert read["endpoint"]["url"]
    world.done("session.close", session_id=session_id)
    world.settle()
    stopped = world.done("session.get", session_id=session_id)
    world.done("session.delete", session_id=session_id)
    deleted = world.done("session.get", session_id=session_id)
    assert (stopped["state"], stopped["deleted_at"]) == ("stopped", None)
    assert deleted["deleted_at"] is not None


def test_sessions_are_listed_by_filter_newest_first(any_world: MakeWorld) -> None:
    world = any_world()
    world.open_account("other")
    ids = {}
    made: dict[str, dict[str, Any]] = {
        "first": {"model_id": "llama"},
        "second": {"model_id": "moral"},
        "third": {"account_id": "other"},
        "resting": {"start": False},
    }
    for name, kwargs in made.items():
        ids[name] = world.create_session(name=name, **({"model_id": "llama"} | kwargs))
        world.settle()
        world.pass_time(SECOND)
    since = world.view(ids["third"])["created_at"]

    def listed(**wanted: Any) -> list[str]:
        [page] = pages(world, **wanted)
        return [name for one in page for name, its_id in ids.items() if its_id == one]

    assert listed() == ["resting", "third", "second", "first"]
    assert listed(account_id="acme") == ["resting", "second", "first"]
    assert listed(provider="morph") == ["second"]
    assert listed(model_id="moral") == ["second"]
    assert listed(state=["created"]) == ["resting"]
    assert listed(state=["running", "created"], account_id="acme") == ["resting", "second", "first"]
    assert listed(name="third") == ["third"]
    assert listed(since=since) == ["resting", "third"]
    assert listed(unproven=True) == []


def test_a_list_is_read_page_by_page_and_new_sessions_do_not_move_it(any_world: MakeWorld) -> None:
    world = any_world()
    ids = []
    for _ in range(5):
        ids.append(world.create_session(start=False))
        world.pass_time(SECOND)
    first = world.done("session.list", limit=2)
    world.create_session(start=False)
    rest = world.done("session.list", limit=200, after=first["next"])
    assert [one["id"] for one in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next"] is None
    assert [len(page) for page in pages(world, limit=4)] == [4, 2]


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        pytest.param({"limit": 0}, "limit", id="no entries"),
        pytest.param({"limit": 201}, "limit", id="too many"),
        pytest.param({"state": ["sleeping"]}, "state[0]", id="no such state"),
        pytest.param({"after": "nonsense"}, "after", id="no cursor"),
        pytest.param({"account": "acme"}, "account", id="a misspelt filter"),
    ],
)
def test_a_wrong_filter_is_refused(world: World, wanted: dict[str, Any], place: str) -> None:
    outcome = world.job("session.list", **wanted)
    assert outcome["error"]["code"] == "invalid_request"
    assert [fault["loc"] for fault in outcome["error"]["details"]["faults"]] == [place]


def test_an_account_is_read_with_its_quota(world: World) -> None:
    session_id = world.run_session()
    account = world.done("account.get", account_id="acme")
    assert (account["id"], account["plan"], account["balance"]) == ("acme", "payg", "100.00")
    assert account["quota"]["concurrent"]["used"] == 1
    assert [one["id"] for one in account["sessions"]] == [session_id]


def test_what_is_read_has_the_shapes_of_the_api(world: World) -> None:
    session_id = world.run_session("moral")
    resources.SessionResource.model_validate(world.done("session.get", session_id=session_id))
    resources.SessionPageResource.model_validate(world.done("session.list"))
    resources.AccountResource.model_validate(world.done("account.get", account_id="acme"))


def test_a_read_writes_nothing_and_is_read_again_under_the_same_task_id(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.create_session()
    before = dump(world)
    first = world.job("session.get", task_id="again", session_id=session_id)
    world.job("session.list", task_id="list")
    world.job("account.get", task_id="account", account_id="acme")
    refused = world.job("session.get", task_id="unknown", session_id="nobody")
    world.job("session.get", task_id="wrong")
    assert dump(world) == before
    assert refused["error"]["code"] == "unknown_session"
    world.settle()
    again = world.job("session.get", task_id="again", session_id=session_id)
    assert [one["result"]["state"] for one in (first, again)] == ["starting", "running"]


def test_a_task_id_that_another_job_had_is_a_conflict(world: World) -> None:
    first = world.job("session.create", task_id="once", account_id="acme", model_id="llama")
    outcome = world.job("session.get", task_id="once", session_id=first["result"]["id"])
    assert outcome["error"]["code"] == "conflict"
    again = world.job("session.create", task_id="once", account_id="acme", model_id="llama")
    assert again == first


@pytest.mark.parametrize(
    ("job", "kwargs", "code"),
    [
        ("session.get", {"session_id": "nobody"}, "unknown_session"),
        ("account.get", {"account_id": "nobody"}, "unknown_account"),
    ],
)
def test_what_does_not_exist_is_refused(world: World, job: str, kwargs: dict[str, str], code: str) -> None:
    refused = world.refused(job, **kwargs)
    assert refused == code


def test_no_read_holds_a_secret(world: World) -> None:
    session_id = world.run_session("moral")
    world.run_session("llama")
    world.pass_time(MINUTE)
    read = [
        world.done("session.get", session_id=session_id),
        world.done("session.list"),
        world.done("account.get", account_id="acme"),
    ]
    text = json.dumps(read)
    assert "env:" in text, "references are there"
    assert [secret for secret in world.secrets.values() if secret in text] == []


@pytest.mark.parametrize("name", READS)
def test_a_read_that_failed_at_every_try_keeps_no_outcome(world: World, name: str) -> None:
    before = dump(world)
    outcome = give_up(world.services, "broken", name, "ValueError")
    assert outcome["error"]["code"] == "internal_error"
    assert dump(world) == before
    again = perform(world.services, "broken", name, {"no": 1})
    assert again["error"]["code"] == "invalid_request"
