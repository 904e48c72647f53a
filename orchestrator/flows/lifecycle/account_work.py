"""One account under its lock: its overdue stops are applied first, its funds are computed last.

Every transaction that changes an account's sessions or ledger goes through here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_ledger import AccountLedger
from orchestrator.flows.lifecycle.overdue import Overdue
from orchestrator.flows.lifecycle.spending import Burning, Spending
from orchestrator.rules.admission.quota import AccountTerms, Usage
from orchestrator.rules.billing import funds, hard_stops, money
from orchestrator.rules.billing.groups import Group, Phase
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.sessions.decide import plan_steps
from orchestrator.rules.states import ACTIVE, TERMINAL, State
from orchestrator.rules.values import Account, Brake, Placement, Policy, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.queries.newcomers import NewSessionFacts
from orchestrator.store.queries.usage import Standing
from orchestrator.store.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefetchedAccount:
    """What was read of an account, under its lock, together with other accounts."""

    standing: Standing
    overdue: Sequence[Session] | None = None
    """Its first sessions with a deadline that has passed, locked; None: not read."""
    placements: Mapping[str, Sequence[Placement]] = field(default_factory=dict)
    """All placements of these sessions, locked."""
    metered: Sequence[Metered] | None = None
    groups: Sequence[Group] | None = None


class AccountWork:
    """Work on one account. Begin with `on_account`; end with `finish`, inside the same transaction."""

    def __init__(
        self,
        services: Services,
        tx: Transaction,
        account: Account,
        now: datetime,
        facts: NewSessionFacts | None = None,
        known: PrefetchedAccount | None = None,
    ) -> None:
        """Begin work on a locked account. `now`, `facts` of a new session, `known`: read after the lock was taken."""
        self.services = services
        self.tx = tx
        self.now = now
        self.account = account
        self._before = account
        self._terms: tuple[Account, AccountTerms] | None = None
        self._books = AccountLedger(tx, self.now)
        self.burning = Burning(
            tx,
            account,
            services.few_sessions,
            known.metered if known is not None else _none_burns(facts),
            known.groups if known is not None else None,
        )
        self.spending = Spending(tx, self.burning)
        self._known = known
        self._locked = {one.id: one for one in (known.overdue or ())} if known is not None else {}
        self._locked_placements = dict(known.placements) if known is not None else {}
        self.placements: dict[str, Sequence[Placement]] = {}
        """All of sessions that were placed or ended here, as this left them."""
        self._usage = facts.usage if facts is not None else None
        self._brakes: Sequence[Brake] | None = () if facts is not None and not facts.has_brakes else None
        self._has_queued_sessions: bool | None = None
        self._looks_at_funds = False
        self.overdue: Overdue | None = None
        """What is due to be stopped here, once it was read."""
        self.stopped_until: datetime | None = None
        """Until then the due stops were applied, where later ones are left for another transaction."""
        self._freed = False
        if known is not None:
            self.note_standing(known.standing)

    @property
    def terms(self) -> AccountTerms:
        """The account's limits, as they are now; laid over its plan once for each change of the account."""
        if self._terms is None or self._terms[0] is not self.account:
            self._terms = self.account, self.services.config.terms_of(self.account)
        return self._terms[1]

    def policy(self, session: Session) -> Policy:
        """Return the policy where this session is served."""
        return self.services.policy(session.provider)

    def usage(self, ahead_of: Session | None = None) -> Usage:
        """Return what counts against the quota now: ahead of the queued session `ahead_of`, or ahead of a new
        session."""
        if ahead_of is not None:
            return self._usage_before(ahead_of)
        if self._usage is None:
            self._usage = self._usage_before(None)
        return self._usage

    @property
    def has_checked_stops(self) -> bool:
        """Whether sessions were due to be stopped here, and may have been stopped."""
        return self.overdue is not None

    @property
    def brakes(self) -> Sequence[Brake]:
        """Every brake, read at the first use."""
        if self._brakes is None:
            self._brakes = self.tx.brakes.all()
        return self._brakes

    @property
    def has_queued_sessions(self) -> bool:
        """Whether any session of the account may be queued now."""
        if self._has_queued_sessions is None:
            self._has_queued_sessions = self.tx.sessions.standing(self.account.id).has_queued_sessions
        return self._has_queued_sessions

    def note_standing(self, standing: Standing) -> None:
        """Take over what was read of the account's sessions."""
        self._has_queued_sessions = standing.has_queued_sessions

    def standing(self) -> Standing:
        """Return the account's `Standing`, as it was when the lock was taken."""
        return self._known.standing if self._known else self.tx.sessions.standing(self.account.id)

    def first_overdue(self, limit: int | None) -> Sequence[Session]:
        """Return the sessions with a deadline that has passed, longest overdue first, up to `limit`."""
        known = self._known.overdue if self._known else None
        return self.tx.sessions.overdue(self.account.id, self.now, limit) if known is None else known[:limit]

    def lock_session(self, session_id: str) -> Session | None:
        """Return a session of the account, locked."""
        return self._locked.get(session_id) or self.tx.sessions.lock(session_id)

    def lock_placements(self, session_id: str) -> Sequence[Placement]:
        """Return all placements of a session, locked, oldest first."""
        known = self._locked_placements.pop(session_id, None)
        return self.tx.placements.lock_all(session_id) if known is None else known

    def read_again(self, session_id: str) -> None:
        """Forget what was read of a session together with others: its next step reads it by itself."""
        self._locked.pop(session_id, None)
        self._locked_placements.pop(session_id, None)

    def recompute_funds(self) -> None:
        """Let `finish` compute the funds again."""
        self._looks_at_funds = True

    # running

    def stop_running(self, session: Session, at: datetime) -> Session:
        """End the interval at `at` and charge it, or give back what was charged beyond it; the caller sets the
        state."""
        if session.running_since is None:
            return session
        if self.account.budgets:
            kept = hard_stops.corrected(self.account.budgets, session, at)
            self.account = replace(self.account, budgets=kept)
        cost = money.cost_if_stopped_at(session, at)
        ended = replace(session, ran_microseconds=money.ran_by(session, at), running_since=None)
        return self.reverse_cost(self.post_cost(ended, cost), cost, "charged for time after its end")

    def planned(self, session: Session) -> Session:
        """Return the session with its stop, warning and next step computed again."""
        return plan_steps(session, self.policy(session), self.now, ping_at=session.ping_at)

    def keep(self, before: Session, after: Session) -> Session:
        """Save the session, and keep the set of active sessions up to date."""
        saved = self.tx.sessions.save(before, after)
        self.remember(before, saved)
        if funds.burning(before) is not funds.burning(saved):
            self.recompute_funds()  # a different set of sessions burns money now
        if saved.state is not before.state and saved.state in TERMINAL | {State.STOPPING}:
            self._freed = True  # its slot, or the funds that it would have burnt
        if saved.due is not None and saved.due.has_come(self.now):
            self.tx.sessions.wake(saved.due.step)
        return saved

    def remember(self, before: Session | None, session: Session) -> None:
        """Keep what is known here of active and queued sessions up to date. `before`: None for a new session."""
        live = session.state in ACTIVE
        if session.id in self._locked:
            self._locked[session.id] = session
        self._usage = None
        if session.state is State.QUEUED:
            self._has_queued_sessions = True
        self.burning.remember(before, session)
        if self.overdue is not None:
            self.overdue.drop(session.id)
            if live and session.stop_at is not None and session.stop_at <= self.now:
                self.overdue.put(session)

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

    def post_costs(self, after: str = "", limit: int = 500) -> str | None:
        """Charge what running sessions have cost by now. Leave out a block that begins now: a session that stops at
        this very instant does not pay it. Do so for the next `limit` sessions after this id; return the last id where
        there may be more."""
        page = self.tx.charges.lock_running(self.account.id, after, limit)
        self.burning.are_at_least(len(page))
        owed = [(one, money.cost_if_stopped_at(one, self.now)) for one in page]
        with self._books.together():
            charged = [(one, self.post_cost(one, cost)) for one, cost in owed if cost > one.charged]
        self.tx.charges.save(charged)
        for before, session in charged:
            self.burning.remember(before, session)
        return page[-1].id if len(page) == limit else None

    def finish(self) -> Account:
        """Work out the funds and the account's next step; wake the sessions that may now be admitted."""
        self.wake_queue()
        account = self.spending.announced(self._with_funds(self.account), self.now)
        moving = not self.burning.was_read or Phase.MOVING in self.burning.phases
        after = funds.plan_account(account, self.services.policy(None), self.now, moving=moving)
        if after.funds_end_by is not None and after.warned_seconds not in (None, account.warned_seconds):
            self.spending.warn(self.limits(after), self.now)
        if after.due is not None and after.due.has_come(self.now):
            self.tx.sessions.wake(after.due.step)
        self.account = self.tx.accounts.save(self._before, after, self.now)
        return self.account

    def finish_without_funds(self) -> None:
        """Save the account where some of its sessions cannot be read: keep its money, and leave the end of its funds as
        it was."""
        self.wake_queue()
        self.account = self.tx.accounts.save(self._before, self.account, self.now)

    def wake_queue(self) -> None:
        """Wake the account's queue if something became free; `finish` does so, too."""
        if self._freed and self.has_queued_sessions:
            self.tx.queues.wake_next_queued(self.account.id, self.now)
        self._freed = False

    # inside

    def _usage_before(self, queued: Session | None) -> Usage:
        debts = self.services.config.cleanup_debts()
        return self.tx.sessions.usage(self.account.id, self.now, debts, queued)

    def funds_end(self, since: datetime) -> money.FundsEnd | None:
        """Return the first block from `since` on that the account cannot pay."""
        balance = hard_stops.balance_limit(self.account, self.terms.plan.overdraft_limit)
        return self.spending.funds_end(self.account, balance, since, self.now)

    def begin_periods(self, at: datetime) -> None:
        """Let the periods of `at` begin for budgets with a hard stop."""
        self.account = self.spending.in_periods_of(self.account, at)

    def limits(self, account: Account) -> Sequence[FundsLimit]:
        """Return the limits of what running sessions may use, the balance last."""
        balance = hard_stops.balance_limit(account, self.terms.plan.overdraft_limit)
        return *self.spending.limits(account, self.stopped_until or self.now), balance

    def _with_funds(self, account: Account) -> Account:
        if not (self._looks_at_funds or self.burning.was_read) and account == self._before:
            return account  # nothing was read, nothing has moved
        policy, limits = self.services.policy(None), self.limits(account)
        return self.burning.with_funds(account, policy, self.now, limits, self.stopped_until)


def _none_burns(facts: NewSessionFacts | None) -> Sequence[Metered] | None:
    """Return that no session costs money where none holds a slot; None if this is not known."""
    return () if facts is not None and facts.usage.concurrent == 0 else None


def lock_account(
    services: Services, tx: Transaction, account_id: str, *, waits: bool = True
) -> tuple[Account, datetime] | None:
    """Return the account, locked, and the clock as it was after that; None if there is none, or, without `waits`,
    where another transaction holds it.

    Raises AccountBusy if the most threads of this process that may wait for accounts already do."""
    if waits:
        services.crowd.comes_to(account_id)
    locked = tx.lock_account(account_id)
    if locked is not None or not waits or tx.accounts.get(account_id) is None:
        return locked
    with services.crowd.waits_for(account_id):
        account = tx.accounts.lock(account_id)
    return None if account is None else (account, tx.now())


def lock_account_of(services: Services, tx: Transaction, session_id: str) -> Account | None:
    """Return the account of a session, locked; None if there is no such session. Raises AccountBusy as
    `lock_account`."""
    account = tx.accounts.lock_of(session_id)
    if account is not None:
        services.crowd.comes_to(account.id)
        return account
    account_id = tx.sessions.accounts_of([session_id]).get(session_id)
    locked = lock_account(services, tx, account_id) if account_id is not None else None
    return locked[0] if locked is not None else None
