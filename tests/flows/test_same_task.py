"""One task id, though its job would be refused now, or is done by two processes at once."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any
from unittest.mock import patch

from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import perform as performing
from orchestrator.flows.jobs.create_session import create_session
from orchestrator.flows.jobs.perform import perform_once
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.flows.dumps import dump
from tests.world import World

CREATE = {"account_id": "acme", "model_id": "llama"}


def test_a_job_that_would_be_refused_now_returns_its_first_outcome(any_world: MakeWorld) -> None:
    world = any_world()
    own = {"account_id": "own", "plan": "payg", "currency": "USD"}
    world.done("account.put", **own)
    world.done("account.credit", account_id="own", amount="5", currency="USD", key="1")
    asked = {**CREATE, "account_id": "own"}
    first = world.job("session.create", task_id="once", **asked)
    world.done("account.put", **own, quota={"max_concurrent": 1})
    refused = world.job("session.create", task_id="other", **asked)
    before = dump(world)
    assert not refused["ok"]
    replayed = world.job("session.create", task_id="once", **asked)
    assert replayed == first
    again = world.job("session.create", task_id="once", **asked, nodes=2)
    assert again["error"]["code"] == "conflict"
    assert dump(world) == before


def test_the_same_task_at_once_is_one_job_whoever_records_it_first(postgres_url: str) -> None:
    """One records it before its effect, as an earlier release does, and a job with a precondition; one after."""
    recorded, locked = Event(), Event()

    def wait_until_the_other_has_the_account(_tx: Transaction) -> None:
        recorded.set()
        assert locked.wait(30)

    def create(services: Services, tx: Transaction, request: Any) -> Mapping[str, Any]:
        made = create_session(services, tx, request)
        assert recorded.wait(30)
        locked.set()
        return made

    with World(postgres_url) as world:
        once = partial(perform_once, world.services, "once", "orchestrator.session.create", CREATE)
        with (
            patch.dict(performing.EFFECTS, {"orchestrator.session.create": create}),
            ThreadPoolExecutor() as threads,
        ):
            early = threads.submit(once, precondition=wait_until_the_other_has_the_account)
            late = threads.submit(once)
            done = [early.result(60), late.result(60)]
        sessions = dump(world)["sessions"]
    assert done[0].outcome == done[1].outcome
    assert done[0].outcome["ok"]
    assert sorted(one.replayed for one in done) == [False, True]
    assert len(sessions) == 1
