"""A machine for everything that users, operators, platforms, workers and time can do, in any order.

After each step the books and the gate are checked against the machine's own account of the events."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from itertools import chain
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

from orchestrator.providers.port.driver import Placed
from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.states import Step
from tests.flows.hands import Hands
from tests.money import allowances, books, gate, strategies
from tests.money.history import History
from tests.money.platforms import Mood, MoodyDriver
from tests.money.stage import SECOND, Sent, Stage
from tests.money.strategies import ACCOUNTS
from tests.money.terms import PLANS, POLICY, terms_of

DEBT = timedelta(seconds=POLICY.cleanup_debt_after_seconds)


class MoneyMachine(RuleBasedStateMachine):
    """A subclass has the stage and the history of one database."""

    stage: Stage
    history: History
    counts: Counter[str]
    """Counts of events, over all lives of a run: a machine that never fails over proves nothing."""

    sessions: Bundle[str] = Bundle("sessions")
    late: Bundle[Any] = Bundle("late")
    sent: Bundle[Sent] = Bundle("sent")

    @initialize(
        target=sessions,
        few=st.sampled_from([0, FEW]),
        budgets=st.fixed_dictionaries(dict.fromkeys(ACCOUNTS, strategies.budgets)),
    )
    def begin(self, few: int, budgets: dict[str, tuple[str | None, bool]]) -> "MultipleResults[str]":
        """Give every account a session that runs, and moves on if it must. In some lives every account is computed as
        if its sessions were many. Budgets of the first day may stop sessions from its beginning."""
        self.stage.reset(few)
        self.history.reset()
        self.settled = True
        self.names = 0
        self.terms = {account_id: terms_of(plan, {}, None) for account_id, (plan, _) in ACCOUNTS.items()}
        self.own: dict[str, tuple[dict[str, Any], str | None]] = {name: ({}, None) for name in ACCOUNTS}
        self.overdrafts = {name: books.Overdraft(terms.overdraft) for name, terms in self.terms.items()}
        self.budgets = allowances.without_budgets(list(ACCOUNTS))
        self.stage.after_each = self.look
        for account_id, (plan, amount) in ACCOUNTS.items():
            self.stage.open_account(account_id, plan, amount)
            self.budget(account_id, "day", *budgets[account_id])
        roam = [self.created(1, account_id=name, model_id="roam", failover=True) for name in ACCOUNTS]
        self.pass_time(SECOND)
        return multiple(*chain.from_iterable(roam))

    # what users do

    @rule(
        target=sessions,
        how_many=st.integers(1, 3),
        account_id=strategies.accounts,
        model_id=strategies.models,
        nodes=st.sampled_from([1, 1, 1, 2, 3]),
        stop=strategies.stops,
        start=st.sampled_from([True, True, True, False]),
        on_quota=st.sampled_from(["reject", "queue"]),
        failover=st.booleans(),
    )
    def create(self, how_many: int, **asked: Any) -> "MultipleResults[str]":
        return multiple(*self.created(how_many, **asked))

    @rule(
        target=sessions,
        account_id=strategies.accounts,
        model_id=strategies.models,
        failover=st.booleans(),
        stop=st.one_of(st.just(dict[str, Any]()), strategies.caps),
    )
    def rush(self, **asked: Any) -> "MultipleResults[str]":
        """Create more than there is room for, with time enough to start."""
        ids = self.created(4, on_quota="queue", **asked)
        self.pass_time(SECOND)
        return multiple(*ids)

    @rule(target=sessions, session_id=sessions, model_id=strategies.models)
    def slip_in(self, session_id: str, model_id: str) -> "MultipleResults[str]":
        """Create a newcomer at the very instant at which a slot is freed."""
        account_id = self.history.lives[session_id].account
        self.touch(session_id, ("close", {"reason": "operator", "confirm": True}))
        return multiple(*self.created(1, account_id=account_id, model_id=model_id, on_quota="reject"))

    @rule(target=sent, session_id=sessions, deed=strategies.deeds)
    def touch(self, session_id: str, deed: tuple[str, dict[str, Any]]) -> Sent:
        name, kwargs = deed
        if kwargs.get("confirm"):
            self.stage.lose(one.id for one in self.history.rows.placements[session_id])
        return self.send(f"session.{name}", session_id=session_id, **kwargs)

    @rule(session_id=consumes(sessions))
    def close_and_delete(self, session_id: str) -> None:
        """Close and delete. What is not closed at once cannot be deleted yet."""
        self.send("session.close", session_id=session_id)
        self.send("session.delete", session_id=session_id)

    @rule(
        target=sent,
        account_id=strategies.accounts,
        amount=strategies.amounts,
        key=st.sampled_from("abcdefgh"),
    )
    def credit(self, account_id: str, amount: str, key: str) -> Sent:
        """Credit. Keys repeat, with the same amount or another."""
        return self.send("account.credit", account_id=account_id, amount=amount, currency="USD", key=key)

    @rule(
        account_id=strategies.accounts,
        plan=st.sampled_from(sorted(PLANS)),
        quota=strategies.quotas,
        overdraft=strategies.overdrafts,
    )
    def change_terms(self, account_id: str, plan: str, quota: dict[str, Any], overdraft: str | None) -> None:
        """Change the terms. Running sessions keep the blocks of their admission; what is left out stays as it is."""
        had = self.own[account_id]
        own = {**had[0], **quota}, had[1] if overdraft is None else overdraft
        before, self.own[account_id] = self.terms[account_id], own
        terms = self.terms[account_id] = terms_of(plan, *own)
        put = {"account_id": account_id, "plan": plan, "currency": "USD", "overdraft_limit": overdraft}
        outcome = self.send("account.put", **put, quota=quota)
        assert outcome.outcome["ok"]
        self.overdrafts[account_id].change(self.stage.clock.now, self.history.seq, terms.overdraft)
        self.counts["overdraft lowered"] += terms.overdraft < before.overdraft
        self.counts["quota unlimited"] += "unlimited" in quota.values()

    @rule(
        target=sent,
        account_id=strategies.accounts,
        period=st.sampled_from(["day", "day", "month"]),
        wanted=strategies.budgets,
    )
    def put_budget(self, account_id: str, period: str, wanted: tuple[str | None, bool]) -> Sent:
        """Set, raise, lower or take away a budget, with or without a hard stop."""
        return self.budget(account_id, period, *wanted)

    @rule(model_id=strategies.models, price=strategies.prices)
    def change_price(self, model_id: str, price: str) -> None:
        """Change the price. Admitted sessions keep their price; waiting sessions pay the price of the day."""
        self.stage.put_priced(model_id, price)

    @rule(
        target=sent,
        session_id=sessions,
        other=sessions,
        count=st.integers(1, 5),
        ok=st.booleans(),
        ago=strategies.spans,
    )
    def report(self, session_id: str, other: str, count: int, ok: bool, ago: timedelta) -> Sent:
        at = (self.stage.clock.now - ago).isoformat()
        batch = [
            {"session_id": session_id, "count": count, "ok": ok},
            {"session_id": other, "count": 1, "at": at},
        ]
        return self.send("session.record_interactions", batch=batch)

    @rule(message=sent)
    def say_it_again(self, message: Sent) -> None:
        """Send a message twice: it has one effect, and one outcome."""
        before = self.history.read_rows()
        outcome = self.stage.repeat(message)
        assert outcome == message.outcome
        assert self.history.read_rows() == before

    # what time, workers and platforms do

    @rule(span=strategies.spans)
    def pass_time(self, span: timedelta) -> None:
        self.stage.pass_time(span)
        self.settled = True

    @rule(session_id=sessions)
    def die(self, session_id: str) -> None:
        """Let its platform forget it; a ping finds that out."""
        self.stage.lose(one.id for one in self.history.rows.placements[session_id])
        self.pass_time(timedelta(seconds=POLICY.ping_interval_seconds + 30))

    @rule(target=sessions, session_id=sessions)
    def run_up_a_debt(self, session_id: str) -> "MultipleResults[str]":
        """Leave its close unproven for so long that its slot is free for another."""
        row = self.history.rows.sessions[session_id]
        if isinstance(driver := self.stage.drivers.get(row.provider or ""), MoodyDriver):
            driver.mood = Mood.KEEPS_OPEN
        self.send("session.close", session_id=session_id)
        self.pass_time(DEBT + SECOND)
        return multiple(*self.created(2, account_id=row.account_id, model_id="llama", on_quota="queue"))

    @rule(
        target=sessions,
        account_id=strategies.accounts,
        model_id=strategies.models,
        period=st.sampled_from(["day", "day", "month"]),
        before=st.integers(1, 1200),
        after=st.integers(0, 1200),
        wanted=strategies.budgets,
        works=st.booleans(),
    )
    def run_over_the_end_of_a_period(
        self,
        account_id: str,
        model_id: str,
        period: str,
        before: int,
        after: int,
        wanted: tuple[str | None, bool],
        *,
        works: bool,
    ) -> "MultipleResults[str]":
        """Let a session begin shortly before the end of a budget's period, and run on, perhaps without a worker. Until
        then none works."""
        kept, clock = self.budgets[account_id][period], self.stage.clock
        if kept.ends(clock.now) - clock.now > timedelta(seconds=before):
            self.stage.jump(kept.ends(clock.now) - clock.now - timedelta(seconds=before))
        self.stage.settle()
        self.budget(account_id, period, *wanted)
        ids = self.created(2, account_id=account_id, model_id=model_id, on_quota="reject", failover=True)
        self.pass_time(SECOND)
        span = kept.ends(clock.now) - clock.now + timedelta(seconds=after)
        self.counts["ran into a new period"] += kept.hard and bool(ids)
        self.pass_time(span) if works else self.be_down(span)
        return multiple(*ids)

    @rule(span=strategies.spans)
    def be_down(self, span: timedelta) -> None:
        """Let no worker run; clients may still send jobs."""
        self.stage.jump(span)
        self.settled = False

    @rule()
    def work(self) -> None:
        """Do everything that is due, and the slow ticks, so that every session that can be admitted is."""
        self.stage.settle()
        self.stage.upkeep()
        self.settled = True
        self.history.read_rows()
        gate.none_waits_in_vain(self.history, self.terms, self.budgets, self.stage.clock.now, DEBT)

    @rule(platform=st.sampled_from(["alpha", "morph", "fleet"]), mood=strategies.moods)
    def change_mood(self, platform: str, mood: Mood) -> None:
        self.stage.drivers[platform].mood = mood

    @rule(target=late, step=strategies.asked_steps, asked=st.booleans())
    def die_at_work(self, step: Step, asked: bool) -> "MultipleResults[Any]":
        """Let a worker claim and die; its call takes effect anyway, and may be reported later."""
        hands = Hands(self.stage.another_process())
        claims = hands.claim(step)
        self.look()
        return multiple(*[(hands, hands.act(claimed)) for claimed in claims if asked])

    @rule(late_one=consumes(late))
    def report_late(self, late_one: Any) -> None:
        hands, answer = late_one
        if isinstance(answer.said, Placed) or answer.claimed.step is Step.CLOSE:
            hands.settle(answer)
            self.look()

    # what holds

    @invariant()
    def the_books_agree_and_no_key_serves_two(self) -> None:
        self.counts["steps"] += 1
        self.history.read_rows()
        books.check_books(self.history, self.stage.clock.now, self.overdrafts, settled=self.settled)
        allowances.check_budgets(self.history, self.budgets, self.stage.clock.now, settled=self.settled)
        morph = self.stage.drivers["morph"]
        assert isinstance(morph, MoodyDriver)
        assert morph.most_per_key() <= 1

    def look(self) -> None:
        """Judge the new events, and count them."""
        for event in self.history.look():
            gate.judge(self.history, event, self.terms, DEBT)
            self.counts.update(gate.happened(self.history, event, DEBT))

    def send(self, name: str, **kwargs: Any) -> Sent:
        return self.stage.send(name, **{key: value for key, value in kwargs.items() if value is not None})

    def budget(self, account_id: str, period: str, amount: str | None, hard: bool) -> Sent:
        """Put a budget, or take it away."""
        put = {"amount": amount, "hard_stop": hard} if amount is not None else {}
        sent = self.send("account.budget", account_id=account_id, period=period, currency="USD", **put)
        assert sent.outcome["ok"], sent.outcome
        wanted, was = None if amount is None else Decimal(amount), self.budgets[account_id][period].amount
        kept = self.budgets[account_id][period]
        kept.change(self.stage.clock.now, self.history.seq, wanted, hard=hard)
        self.counts["hard stop lowered"] += kept.hard and was is not None and was > (wanted or 0)
        return sent

    def created(self, how_many: int, **asked: Any) -> list[str]:
        """Return the ids of those that were not refused."""
        names = [f"s{self.names + n:02}" for n in range(1, how_many + 1)]
        self.names += how_many
        outcomes = [self.send("session.create", session_id=name, **asked).outcome for name in names]
        return [one["result"]["id"] for one in outcomes if one["ok"]]

    def teardown(self) -> None:
        note(self.history.chronicle())
