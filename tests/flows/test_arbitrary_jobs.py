"""Every request gets an outcome, without an exception, and changes nothing when refused."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.client.requests import JOBS
from orchestrator.flows.jobs.perform import perform
from orchestrator.rules.refusals import ErrorCode
from tests.flows.conftest import MakeWorld
from tests.flows.dumps import dump

pytestmark = pytest.mark.slow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=6,
)
#: Values that are right often enough to get past the first checks.
IDS = st.sampled_from(["acme", "llama", "moral", "run-1", "made-1", "new", "over-1"])
NUMBERS = st.sampled_from([1, 2, 60, 3600, 86_400, 10**9, 10**12 - 1])
TEXTS = st.sampled_from(
    ["USD", "payg", "contract", "queue", "user", "operator", "LLM", "8B", "alpha", "1.20"]
)
STOP = st.fixed_dictionaries(
    {}, optional={"max_duration_seconds": NUMBERS, "max_cost": TEXTS, "idle_seconds": NUMBERS}
)
BATCH = st.lists(
    st.fixed_dictionaries(
        {"session_id": IDS, "count": NUMBERS},
        optional={"ok": st.booleans(), "at": st.just("0001-01-01T00:00:00Z")},
    ),
    max_size=4,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "account_id": st.just("acme"),
    "model_id": st.sampled_from(["llama", "moral", "base"]),
    "session_id": st.sampled_from(["run-1", "made-1", "over-1"]),
    "stop": STOP,
    "batch": BATCH,
    "currency": st.sampled_from(["USD", "EUR"]),
    "amount": NUMBERS | TEXTS,
    "price_per_node_hour": NUMBERS | TEXTS,
    "plan": st.sampled_from(["payg", "contract"]),
    "provider": st.just("alpha"),
    "provider_model_id": st.just("llama-3"),
    "type": st.sampled_from(["LLM", "ASR"]),
    "size": st.just("8B"),
    "learning_stage": st.just("Instruction-tuned"),
}


def _arbitrary(job: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a request that is mostly right, with any value in one field or two."""
    fields = JOBS[job].model_fields
    likely = {name: LIKELY.get(name, IDS | NUMBERS | TEXTS | st.booleans()) for name in fields}
    needed = {name: likely[name] for name, field in fields.items() if field.is_required()}
    known = needed | {name: value for name, value in likely.items() if name in LIKELY}
    rest = {name: value for name, value in likely.items() if name not in known}
    right = st.fixed_dictionaries(known, optional=rest)
    wrong = st.dictionaries(st.sampled_from(list(fields)) | st.text(max_size=8), JSON, max_size=2)
    return st.one_of(right, st.fixed_dictionaries(needed), st.builds(lambda a, b: a | b, right, wrong), wrong)


@pytest.mark.parametrize("job", JOBS)
def test_no_request_can_break_a_job(make_world: MakeWorld, job: str) -> None:
    world = make_world()
    world.run_session(session_id="run-1")
    world.create_session(session_id="made-1", start=False)
    world.create_session(session_id="over-1")
    world.done("session.close", session_id="over-1")
    before, numbers = [dump(world)], itertools.count()

    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(_arbitrary(job) | JSON)
    def outcomes(kwargs: Any) -> None:
        outcome = perform(world.services, f"arbitrary-{next(numbers)}", job, kwargs)
        now = dump(world)
        if not outcome["ok"]:
            assert outcome["error"]["code"] in set(ErrorCode)
            assert now == before[0]
        before[0] = now

    outcomes()
    world.settle()


@pytest.mark.parametrize("task_id", ["a\0b", "line\nbreak", "\ud800"])
def test_a_task_id_that_no_row_can_have_is_refused(any_world: MakeWorld, task_id: str) -> None:
    world = any_world()
    before = dump(world)
    outcome = perform(world.services, task_id, "orchestrator.account.put", {"account_id": "new"})
    assert (outcome["ok"], outcome["error"]["code"]) == (False, "invalid_request")
    assert dump(world) == before
