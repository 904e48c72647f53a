"""One account under its lock: its overdue stops come first, its funds are computed last.

Every transaction that changes an account's sessions or ledger goes through here."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from orchestrator.flows.engine.crowd import STOPS_AT_ONCE, StopsFirst
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import transitions
from orchestrator.flows.lifecycle.account_ledger import AccountLedger
from orchestrator.flows.lifecycle.burning import Burning
from orchestrator.flows.lifecycle.overdue import Overdue
from orchestrator.rules import events
from orchestrator.rules.admission.quota import AccountTerms, Usage
from orchestrator.rules.billing import funds, money
from orchestrator.rules.billing.groups import Phase
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.sessions.decide import plan_steps
from orchestrator.rules.sessions.pings import at_rest
from orchestrator.rules.sessions.stops import Candidate, idle_by
from orchestrator.rules.states import ACTIVE, TERMINAL, UNENDED, State, StopReason, end_state
from orchestrator.rules.values import Account, Policy, Session
from orchestrator.store.transaction import Transaction

T = TypeVar("T")


class AccountWork:
    """Begin with `on_account`; end with `finish`, inside the same transaction."""

    def __init__(self, services: Services, tx: Transaction, account: Account, now: datetime) -> None:
        """`now`: read once the account was locked."""
        self.services = services
        self.tx = tx
        self.now = now
        self.account = account
        self._before = account
        self._books = AccountLedger(tx, self.now)
        self.burning = Burning(tx, account, services.few_sessions)
        self._usage: Usage | None = None
        self._looks_at_funds = False
        self._overdue: Overdue | None = None
        self._freed = False

    @property
    def terms(self) -> AccountTerms:
        """The account's limits, as they are now."""
        return self.services.config.terms_of(self.account)

    def policy(self, session: Session) -> Policy:
        """Return the policy where this session is served."""
        return self.services.policy(session.provider)

    def usage(self, ahead_of: Session | None = None) -> Usage:
        """Return what counts against the quota now; before `ahead_of`, a queued session, or before a newcomer."""
        if ahead_of is not None:
            return self._usage_before(ahead_of)
        if self._usage is None:
            self._usage = self._usage_before(None)
        return self._usage

    # stops

    def apply_due_stops(self, at_most: int | None = None) -> bool:
        """Stop what should have stopped by now, each with effect at its rule's instant. True where more than `at_most`
        are due: those that come later still stand."""
        if not self._something_is_due():
            return False
        limit = None if at_most is None else at_most + 1
        found = self.tx.sessions.overdue(self.account.id, self.now, limit)
        more = len(found) == limit
        known_until = found[-1].stop_at if more else None  # what stops later than this was not read
        self._overdue = Overdue(self.policy, self.now, found)
        end, carried_out = self._funds_end_so_far(), 0
        while (stop := self._overdue.earliest(end, self.tx.sessions.get)) is not None:
            if carried_out == at_most:
                return True
            if known_until is not None and stop.due > known_until:
                break
            self._carry_out(stop.session, stop.rule)
            carried_out += 1
            if end is not None:  # else it is not the funds that end: fewer sessions never use them up sooner
                end = self._funds_end(stop.due)
        for session in self._overdue.planned_otherwise():
            self.keep(session, self.planned(session))
        return more

    def stop(self, session: Session, reason: StopReason, at: datetime, detail: str | None) -> Session:
        """Decide the end of a session, with effect at `at`, or when its idle time ran out by then; later steps close
        its placements."""
        idle = idle_by(session, self.policy(session), at)
        if idle is not None:
            return self._end(session, idle.reason, idle.at, idle.detail)
        return self._end(session, reason, at, detail)

    def recompute_funds(self) -> None:
        """Let `finish` compute the funds again."""
        self._looks_at_funds = True

    # running

    def start_running(self, before: Session, noted: Session) -> Session:
        """Start running at the first good ping: duration and cost begin, if the first block can be paid."""
        running = replace(
            noted,
            state=State.RUNNING,
            running_at=noted.running_at or self.now,
            running_since=self.now,
            stop_detail=None,  # why its last placement ended, if it moved
            lease_token=None,
            leased_at=None,
            lease_until=None,
            attempts=0,
        )
        overdraft = self.terms.plan.overdraft_limit
        if not self.burning.can_begin(self.account.balance, running, self.now, overdraft):
            detail = "the balance of the account cannot pay its first block"
            return self.stop(before, StopReason.BALANCE_EXHAUSTED, self.now, detail)
        return self.keep(before, self.planned(running))

    def stop_running(self, session: Session, at: datetime) -> Session:
        """End the interval at `at` and charge it, or give back what was charged beyond it; the caller sets the
        state."""
        if session.running_since is None:
            return session
        cost = money.cost_if_stopped_at(session, at)
        ended = replace(session, ran_microseconds=money.ran_by(session, at), running_since=None)
        return self.reverse_cost(self.post_cost(ended, cost), cost, "charged for time after its end")

    def planned(self, session: Session) -> Session:
        """Return the session with its stop, warning and next step computed again."""
        return plan_steps(session, self.policy(session), self.now, ping_at=session.ping_at)

    def keep(self, before: Session, after: Session) -> Session:
        """Save it, and keep the set of active sessions up to date."""
        saved = self.tx.sessions.save(before, after)
        self.remember(saved)
        if funds.burning(before) is not funds.burning(saved):
            self.recompute_funds()  # another set of sessions burns money now
        if saved.state is not before.state and saved.state in TERMINAL | {State.STOPPING}:
            self._freed = True  # its slot, or the funds that it would have burnt
        if saved.next_step is not None and saved.next_step_at is not None and saved.next_step_at <= self.now:
            self.tx.sessions.wake(saved.next_step)
        return saved

    def remember(self, session: Session) -> None:
        """Keep what is known of the active sessions up to date."""
        live = session.state in ACTIVE
        self._usage = None
        self.burning.remember(session)
        if self._overdue is not None:
            self._overdue.drop(session.id)
            if live and session.stop_at is not None and session.stop_at <= self.now:
                self._overdue.put(session)

    def note_freed_capacity(self) -> None:
        """Note that a slot, a name or funds became free here: `finish` wakes the account's queue."""
        self._freed = True

    # money

    def credit(self, amount: Decimal, key: str) -> None:
        """Add money, under `key`; the next session that waits for funds is woken."""
        self.account = self._books.credit(self.account, amount, key)
        self._freed = True

    def debit(self, amount: Decimal, key: str, note: str) -> None:
        """Take money back, under `key`."""
        self.account = self._books.debit(self.account, amount, key, note)

    def post_cost(self, session: Session, cost: Decimal) -> Session:
        """Charge what of `cost` is not charged yet."""
        overdraft = self.terms.plan.overdraft_limit
        self.account, charged = self._books.charge(self.account, session, cost, overdraft)
        return charged

    def reverse_cost(self, session: Session, cost: Decimal, why: str) -> Session:
        """Give back what was charged beyond `cost`."""
        self.account, corrected = self._books.reverse(self.account, session, cost, why)
        self._freed = self._freed or corrected is not session
        return corrected

    def post_costs(self, after: str = "", since: datetime | None = None, limit: int = 500) -> str | None:
        """Charge what running sessions have cost by now, without a block that begins now: a session that stops at this
        very instant does not pay it. Of the next `limit` after this id, those that owe since then; return the last id
        where there may be more."""
        page = self.tx.charges.lock_running(self.account.id, after, limit)
        self.burning.are_at_least(len(page))
        until = self.now if since is None else since
        owing = [one for one in page if money.cost_if_stopped_at(one, until) > one.charged]
        with self._books.together():
            charged = [(one, self.post_cost(one, money.cost_if_stopped_at(one, self.now))) for one in owing]
        self.tx.charges.save(charged)
        for _, session in charged:
            self.burning.remember(session)
        return page[-1].id if len(page) == limit else None

    def finish(self) -> Account:
        """Compute the funds and the account's next step; wake the next session that may be admitted."""
        if self._freed:
            self.tx.queues.wake_next_queued(self.account.id, self.now)
        account = self._with_funds(self.account)
        moving = not self.burning.was_read or Phase.MOVING in self.burning.phases
        after = funds.plan_account(account, self.services.policy(None), self.now, moving=moving)
        if after.next_step is not None and after.next_step_at is not None and after.next_step_at <= self.now:
            self.tx.sessions.wake(after.next_step)
        self.account = self.tx.accounts.save(self._before, after, self.now)
        return self.account

    def finish_without_funds(self) -> None:
        """Save the money, and leave the end of the funds as it was: for an account with unreadable sessions."""
        if self._freed:
            self.tx.queues.wake_next_queued(self.account.id, self.now)
        self.account = self.tx.accounts.save(self._before, self.account, self.now)

    # inside

    def _usage_before(self, queued: Session | None) -> Usage:
        debts = self.services.config.cleanup_debts()
        return self.tx.sessions.usage(self.account.id, self.now, debts, queued)

    def _something_is_due(self) -> bool:
        ends = (self.account.funds_end_at, self.tx.sessions.earliest_stop(self.account.id))
        return any(end is not None and end <= self.now for end in ends)

    def _funds_end_so_far(self) -> money.FundsEnd | None:
        """Return where the funds have ended by now; None where they last."""
        since = self.account.funds_end_at
        return self._funds_end(since) if since is not None and since <= self.now else None

    def _carry_out(self, session: Session, due: Candidate) -> None:
        ended = due.reason is StopReason.PROVIDER_ENDED
        if ended and transitions.move_on(self, session, due.at, due.detail):
            return
        self._end(session, due.reason, due.at, due.detail)

    def _end(self, session: Session, reason: StopReason, at: datetime, detail: str | None) -> Session:
        before = self.tx.sessions.lock(session.id)
        assert before is not None
        placements = [
            transitions.begin_close(self, placement, before)
            for placement in self.tx.placements.unended(before.id)
        ]
        over = not any(placement.state in UNENDED for placement in placements)
        state = end_state(reason, ever_ran=before.ever_ran) if over else State.STOPPING
        stopped = replace(
            self.stop_running(before, at),
            state=state,
            stop_reason=reason,
            stop_detail=detail,
            stopped_at=at,
            ended_at=self.now if over else None,
        )
        saved = self.keep(before, at_rest(stopped))
        if before.queue_reason == ErrorCode.NO_CAPACITY:
            transitions.wake_next_waiter(self, before)
        if reason is StopReason.BALANCE_EXHAUSTED:
            self.tx.outbox.add([events.exhausted(self.account, saved)])
        return saved

    def _funds_end(self, since: datetime) -> money.FundsEnd | None:
        return self.burning.funds_end(self.account.balance, since, self.terms.plan.overdraft_limit)

    def _with_funds(self, account: Account) -> Account:
        if not (self._looks_at_funds or self.burning.was_read) and account == self._before:
            return account  # nothing was looked at, nothing has moved
        overdraft = self.terms.plan.overdraft_limit
        return self.burning.with_funds(account, self.services.policy(None), self.now, overdraft)


def lock_account(
    services: Services, tx: Transaction, account_id: str, *, waits: bool = True
) -> Account | None:
    """Return the account, locked; None where there is none, or, without `waits`, where another transaction holds it.
    Raises AccountBusy where as many threads of this process wait for accounts as may."""
    if waits:
        services.crowd.comes_to(account_id)
    account = tx.accounts.lock(account_id, waits=False)
    if account is not None or not waits or tx.accounts.get(account_id) is None:
        return account
    with services.crowd.waits_for(account_id):
        return tx.accounts.lock(account_id)


def on_account(
    services: Services, tx: Transaction, account_id: str, *, waits: bool = True
) -> AccountWork | None:
    """Lock the account and apply its due stops; None where there is no such account. Without `waits`, for ticks,
    also where another transaction holds it: what is due there is still due at the next tick.
    Raises StopsFirst: run with `after_stops` what must not be put off; and AccountBusy."""
    account = lock_account(services, tx, account_id, waits=waits)
    if account is None:
        return None
    work = AccountWork(services, tx, account, tx.now())
    if work.apply_due_stops(STOPS_AT_ONCE):
        raise StopsFirst(account_id)
    return work


def stop_some(services: Services, tx: Transaction, account_id: str, *, waits: bool) -> bool:
    """Apply the first due stops of the account; True where more are due."""
    account = lock_account(services, tx, account_id, waits=waits)
    if account is None:
        return False
    work = AccountWork(services, tx, account, tx.now())
    more = work.apply_due_stops(STOPS_AT_ONCE)
    work.finish()
    return more


def stop_all(services: Services, account_id: str) -> None:
    """Apply every due stop of the account, some in each transaction."""

    def stop(tx: Transaction) -> bool:
        return stop_some(services, tx, account_id, waits=True)

    while services.database.transact(stop):
        pass


def after_stops(services: Services, work: Callable[[Transaction], T]) -> T:
    """Run `work` in one transaction; where too many stops come first, apply these, and run it again."""
    while True:
        try:
            return services.database.transact(work)
        except StopsFirst as first:
            stop_all(services, first.account_id)
