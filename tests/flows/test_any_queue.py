"""For any waiting sessions and any changes of keys and models: no key stays free that a waiting session could take, and
no session takes one before an earlier one that waits for the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.states import UNENDED, State
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Plan, Session
from tests.lives import play_lives, too_rare
from tests.world import SECOND, World

pytestmark = pytest.mark.slow

KEYS, MODELS, ACCOUNTS = ("env:MORPH_1", "env:MORPH_2"), ("moral", "other"), ("acme", "cara")
#: Steps until everything is at rest.
AT_REST = 20


class QueueMachine(RuleBasedStateMachine):
    """A subclass has `worlds`: each call makes a new world."""

    worlds: Callable[[], World]
    waited: list[int]
    """How many waited, after each step of all lives."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.worlds()
        self.world.__enter__()
        self.world.put_model("other", {"morph": "moral-2"})
        self.world.done("account.put", account_id="cara", plan="payg", currency="USD")
        for account_id in ACCOUNTS:
            given = {"amount": "5000", "currency": "USD", "key": "more"}
            self.world.done("account.credit", account_id=account_id, **given)
        self.order: list[str] = []
        self.started: set[str] = set()

    def teardown(self) -> None:
        self.world.__exit__(None)

    @initialize(refused=st.sets(st.tuples(st.sampled_from(MODELS), st.sampled_from(KEYS)), max_size=3))
    def begins(self, refused: set[tuple[str, str]]) -> None:
        """Let some keys refuse sessions of some models."""
        for model_id, ref in sorted(refused):
            self.is_refused(model_id, ref)

    @rule(account_id=st.sampled_from(ACCOUNTS), model_id=st.sampled_from(MODELS))
    def asks(self, account_id: str, model_id: str) -> None:
        """Ask for a session."""
        self.order.append(self.world.create_session(model_id, account_id=account_id, on_quota="queue"))

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def closes(self, data: st.DataObject) -> None:
        """Close a session that runs or waits."""
        session_id = data.draw(st.sampled_from(self.order))
        self.order.remove(session_id)
        self.world.done("session.close", session_id=session_id)

    @rule(model_id=st.sampled_from(MODELS), ref=st.sampled_from(KEYS))
    def is_refused(self, model_id: str, ref: str) -> None:
        """Let the gateway refuse sessions of this model under this key for now."""
        refused = alarm(AlarmKind.MODEL_PAUSED, "morph", ref, model_id, "it said so", self.world.clock.now)
        self.world.services.database.transact(lambda tx: tx.alarms.raise_(refused))

    @rule(model_id=st.sampled_from(MODELS), ref=st.sampled_from(KEYS))
    def is_taken_again(self, model_id: str, ref: str) -> None:
        """Let it accept them again, as the operator confirms."""
        refused = alarm(AlarmKind.MODEL_PAUSED, "morph", ref, model_id, "it said so", self.world.clock.now)
        self.world.services.database.transact(lambda tx: tx.alarms.end([refused.scope]))

    @rule(ref=st.sampled_from(KEYS))
    def pauses(self, ref: str) -> None:
        """Pause a key, as an operator does."""
        self.world.pause("morph", ref)

    @rule(ref=st.sampled_from(KEYS))
    def goes_on(self, ref: str) -> None:
        """Resume the key, as an operator does."""
        self.world.services.database.transact(lambda tx: tx.credentials.unpause("morph", ref))

    @invariant()
    def no_fit_key_is_free(self) -> None:
        """Check that no usable key is free, once everything is at rest."""
        waiting = self._come_to_rest()
        self.waited.append(len(waiting))
        in_use = {
            p.credential for one in self.order for p in self.world.placements(one) if p.state in UNENDED
        }
        with self.world.services.database.reading() as tx:
            free = set(tx.credentials.free("morph", tx.now(), 10)) - in_use
            refusing = {model_id: tx.alarms.keys_refusing("morph", model_id) for model_id in MODELS}
        for session in waiting:
            fit = free - refusing[session.model_id]
            assert not fit, f"{session.id} of {session.model_id} waits beside {fit}"

    @invariant()
    def nobody_overtakes(self) -> None:
        """Check the order of starts within one account, for one model."""
        places: dict[tuple[str, str], str] = {}
        for session_id in self.order:
            session = self.world.session(session_id)
            if session.state is State.QUEUED:
                places.setdefault((session.account_id, session.model_id), session_id)
            elif session_id not in self.started:
                self.started.add(session_id)
                first = places.get((session.account_id, session.model_id))
                assert first is None, f"{session_id} started before {first}"

    def _come_to_rest(self) -> list[Session]:
        for _ in range(AT_REST):
            before = self._queued()
            self.world.wake_queues()
            self.world.settle()
            self.world.jump(SECOND)
            if self._queued() == before:
                break
        assert all(session.queue_reason == ErrorCode.NO_CAPACITY for session in self._queued())
        return self._queued()

    def _queued(self) -> list[Session]:
        sessions = [self.world.session(session_id) for session_id in self.order]
        return [session for session in sessions if session.state is State.QUEUED]


@pytest.fixture
def fresh_worlds(migrated_sqlite: Path, tmp_path: Path) -> Callable[[], World]:
    """Return worlds over copies of one file."""
    made = iter(range(1_000_000))

    def make() -> World:
        path = tmp_path / f"world-{next(made)}.db"
        path.write_bytes(migrated_sqlite.read_bytes())
        return World(f"sqlite:///{path}", plans={name: Plan(name=name) for name in ("payg", "contract")})

    return make


@pytest.mark.timeout(900)
def test_no_key_stays_free_that_somebody_waits_for(
    fresh_worlds: Callable[[], World], pytestconfig: pytest.Config
) -> None:
    waited: list[int] = []
    here = {"worlds": staticmethod(fresh_worlds), "waited": waited}
    machine = type("QueueMachineHere", (QueueMachine,), here)
    lives = settings(
        max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    play_lives(
        machine, lives, lambda: too_rare({"waited": sum(n > 0 for n in waited)}, {"waited": 11}), pytestconfig
    )
