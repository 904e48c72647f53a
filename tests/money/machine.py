"""A machine that does anything that users, operators, platforms, workers and time can do, in any order.

After each step the books and the gate are checked against the machine's own reckoning of what happened."""

from datetime import timedelta
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from orchestrator.providers.driver import Placed
from orchestrator.rules.states import Step
from tests.flows.hands import Hands
from tests.money import books, gate
from tests.money.history import History
from tests.money.platforms import Mood, MoodyDriver
from tests.money.stage import MODELS, PLANS, POLICY, SECOND, Sent, Stage

#: Their plans, and what they begin with.
ACCOUNTS = {"acme": ("small", "20"), "bob": ("odd", "1.5"), "corp": ("wide", "60")}
DEBT = timedelta(seconds=POLICY.cleanup_debt_after_seconds)

models = st.sampled_from(sorted(MODELS))
accounts = st.sampled_from(sorted(ACCOUNTS))
amounts = st.sampled_from(["0.000001", "0.02", "0.039999", "0.5", "3.333333", "25"])
spans = st.one_of(
    st.sampled_from([60, 37, 900, 240, 241, 400]).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 4000).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 10**9).map(lambda n: timedelta(microseconds=n)),
)
moods = st.one_of(st.just(Mood.WELL), st.sampled_from(Mood))
stops = st.fixed_dictionaries(
    {},
    optional={
        "max_duration_seconds": st.integers(1, 3000),
        "max_interactions": st.integers(1, 9),
        "idle_seconds": st.integers(1, 1500),
        "max_cost": st.sampled_from(["0.000002", "0.04", "0.1", "2.5"]),
    },
)
prices = st.sampled_from(["0.5", "1.000001", "60"])
totals = st.fixed_dictionaries(
    {"max_duration_seconds": st.integers(100, 6000)},
    optional={"max_interactions": st.integers(3, 20), "max_cost": st.sampled_from(["0.5", "9"])},
)
deeds: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.sampled_from(["reject", "queue"]).map(lambda how: ("start", {"on_quota": how})),
    st.just(("close", {})),
    st.just(("close", {"reason": "operator", "confirm": True})),
    totals.map(lambda more: ("extend", more)),
)


class MoneyMachine(RuleBasedStateMachine):
    """A subclass has the stage and the history of one database."""

    stage: Stage
    history: History

    sessions: Bundle[str] = Bundle("sessions")
    late: Bundle[Any] = Bundle("late")
    sent: Bundle[Sent] = Bundle("sent")

    @initialize()
    def open_the_accounts(self) -> None:
        self.stage.reset()
        self.history.reset()
        self.settled = True
        self.names = 0
        self.plans: dict[str, str] = {}
        self.stage.after_each = self.look
        for account_id, (plan, amount) in ACCOUNTS.items():
            self.plans[account_id] = plan
            self.stage.open_account(account_id, plan, amount)

    # what users do

    @rule(
        target=sessions,
        how_many=st.integers(1, 3),
        account_id=accounts,
        model_id=models,
        nodes=st.sampled_from([1, 1, 1, 2, 3]),
        stop=stops,
        start=st.sampled_from([True, True, True, False]),
        on_quota=st.sampled_from(["reject", "queue"]),
        failover=st.booleans(),
    )
    def create(self, how_many: int, **asked: Any) -> "MultipleResults[str]":
        return multiple(*self.created(how_many, **asked))

    @rule(target=sessions, account_id=accounts, model_id=models, first=st.booleans())
    def rush(self, account_id: str, model_id: str, first: bool) -> "MultipleResults[str]":
        """More than there is room for, and time enough to start."""
        ids = self.created(4, account_id=account_id, model_id=model_id, on_quota="queue", failover=first)
        self.pass_time(SECOND)
        return multiple(*ids)

    @rule(target=sessions, session_id=sessions, model_id=models)
    def slip_in(self, session_id: str, model_id: str) -> "MultipleResults[str]":
        """A newcomer at the very instant at which a slot is freed."""
        account_id = self.history.lives[session_id].account
        self.touch(session_id, ("close", {"reason": "operator", "confirm": True}))
        return multiple(*self.created(1, account_id=account_id, model_id=model_id, on_quota="reject"))

    @rule(target=sent, session_id=sessions, deed=deeds)
    def touch(self, session_id: str, deed: tuple[str, dict[str, Any]]) -> Sent:
        name, kwargs = deed
        if kwargs.get("confirm"):
            self.stage.lose(one.id for one in self.history.rows.placements[session_id])
        return self.tell(f"session.{name}", session_id=session_id, **kwargs)

    @rule(session_id=consumes(sessions))
    def close_and_delete(self, session_id: str) -> None:
        """What is not closed at once cannot be deleted yet."""
        self.tell("session.close", session_id=session_id)
        self.tell("session.delete", session_id=session_id)

    @rule(target=sent, account_id=accounts, amount=amounts, key=st.sampled_from("abcdefgh"))
    def credit(self, account_id: str, amount: str, key: str) -> Sent:
        """Keys repeat, with the same amount or another."""
        return self.tell("account.credit", account_id=account_id, amount=amount, currency="USD", key=key)

    @rule(account_id=accounts, plan=st.sampled_from(sorted(PLANS)), model_id=models, price=prices)
    def change_terms(self, account_id: str, plan: str, model_id: str, price: str) -> None:
        """Who is there already keeps the price and the block of its creation."""
        self.plans[account_id] = plan
        self.tell("account.put", account_id=account_id, plan=plan, currency="USD")
        self.stage.put_model(model_id, price)

    @rule(
        target=sent, session_id=sessions, other=sessions, count=st.integers(1, 5), ok=st.booleans(), ago=spans
    )
    def report(self, session_id: str, other: str, count: int, ok: bool, ago: timedelta) -> Sent:
        at = (self.stage.clock.now - ago).isoformat()
        batch = [
            {"session_id": session_id, "count": count, "ok": ok},
            {"session_id": other, "count": 1, "at": at},
        ]
        return self.tell("session.record_interactions", batch=batch)

    @rule(message=sent)
    def say_it_again(self, message: Sent) -> None:
        """A message that comes twice has one effect, and one outcome."""
        before = self.history.read_rows()
        assert self.stage.repeat(message) == message.outcome
        assert self.history.read_rows() == before

    # what time, workers and platforms do

    @rule(span=spans)
    def pass_time(self, span: timedelta) -> None:
        self.stage.pass_time(span)
        self.settled = True

    @rule(span=spans)
    def be_down(self, span: timedelta) -> None:
        """Nobody works; jobs may still be sent by those who come first."""
        self.stage.jump(span)
        self.settled = False

    @rule()
    def work(self) -> None:
        """Everything that is due, and the slow ticks: whoever can be admitted is."""
        self.stage.settle()
        self.stage.upkeep()
        self.settled = True
        gate.nobody_waits_in_vain(self.history, self.limits(), self.stage.clock.now, DEBT)

    @rule(platform=st.sampled_from(["alpha", "morph", "fleet"]), mood=moods)
    def change_mood(self, platform: str, mood: Mood) -> None:
        self.stage.drivers[platform].mood = mood

    @rule(target=late, step=st.sampled_from([Step.OPEN, Step.RESOLVE, Step.CLOSE]), asked=st.booleans())
    def die_at_work(self, step: Step, asked: bool) -> "MultipleResults[Any]":
        """A worker claims and is not seen again; what it asked for was done all the same, and may be told later."""
        hands = Hands(self.stage.another_worker())
        claims = hands.claim(step)
        self.look()
        return multiple(*[(hands, hands.act(claimed)) for claimed in claims if asked])

    @rule(late_one=consumes(late))
    def tell_late(self, late_one: Any) -> None:
        hands, answer = late_one
        if isinstance(answer.said, Placed) or answer.claimed.step is Step.CLOSE:
            hands.settle(answer)
            self.look()

    # what holds

    @invariant()
    def the_books_agree_and_no_key_serves_two(self) -> None:
        self.history.read_rows()
        books.check_books(self.history, self.stage.clock.now, {}, settled=self.settled)
        morph = self.stage.drivers["morph"]
        assert isinstance(morph, MoodyDriver)
        assert morph.most_per_key() <= 1

    def look(self) -> None:
        """Judge what has just been told."""
        for told in self.history.look():
            gate.judge(self.history, told, self.limits(), DEBT)

    def limits(self) -> dict[str, gate.Limits]:
        plans = {account_id: PLANS[plan] for account_id, plan in self.plans.items()}
        return {
            account_id: gate.Limits(
                sessions=plan.max_sessions, concurrent=plan.max_concurrent, nodes=plan.max_nodes
            )
            for account_id, plan in plans.items()
        }

    def tell(self, name: str, **kwargs: Any) -> Sent:
        return self.stage.send(name, **{key: value for key, value in kwargs.items() if value is not None})

    def created(self, how_many: int, **asked: Any) -> list[str]:
        """The ids of those that were not refused."""
        ids = []
        for _ in range(how_many):
            self.names += 1
            outcome = self.tell("session.create", session_id=f"s{self.names:02}", **asked).outcome
            ids += [outcome["result"]["id"]] if outcome["ok"] else []
        return ids

    def teardown(self) -> None:
        """In the end all is well, everything stops, and the books agree."""
        note(self.history.chronicle())
        self.stage.after_each = lambda: None


def machine_on(stage: Stage, history: History) -> type[MoneyMachine]:
    """The machine over one database."""
    return type("MoneyMachineHere", (MoneyMachine,), {"stage": stage, "history": history})
