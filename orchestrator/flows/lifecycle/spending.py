"""What an account under its lock spends: its starting and running sessions, one by one where they are few or groups are
not exact enough, else in groups; and its budgets, for which what was charged in their periods is read where there are
any."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules import events
from orchestrator.rules.billing import budgets, funds, groups, hard_stops, money
from orchestrator.rules.billing.groups import FEW, Group, Phase
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.billing.money import MICRO, FundsEnd
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.states import ACTIVE, State, StopReason
from orchestrator.rules.values import ZERO, Account, BudgetPeriod, Policy, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.transaction import Transaction

#: Thresholds of an account are not looked for more often.
LEAST_WAIT = timedelta(seconds=60)


class Burning:
    """The sessions that burn an account's money, or will soon. They are read on demand, and updated at each save."""

    def __init__(
        self,
        tx: Transaction,
        account: Account,
        few: int = FEW,
        metered: Sequence[Metered] | None = None,
        known_groups: Sequence[Group] | None = None,
    ) -> None:
        """Prepare to read the sessions that cost money. `few`: up to this many are read one by one. `metered`, one more
        than `few` if there are more, and `known_groups`: as they are now; None: not read yet."""
        self._tx = tx
        self._few = few
        self._account_id = account.id
        self._were_many = account.is_grouped
        all_known = metered is not None and len(metered) <= few
        self._first = {one.id: one for one in metered or ()} if all_known else None
        self._each: dict[str, Metered] | None = None
        self._groups = known_groups
        self._are_many = False

    @property
    def was_read(self) -> bool:
        """Return whether the sessions were read, so that their cost is up to date."""
        return self._each is not None or self._are_many

    @property
    def each(self) -> dict[str, Metered]:
        """Every one of them, however many."""
        if self._each is None:
            self._each = {one.id: one for one in self._tx.sessions.metered(self._account_id)}
        return self._each

    @property
    def running(self) -> list[Metered]:
        """Every one that runs."""
        return [one for one in self.each.values() if one.state is State.RUNNING]

    @property
    def groups(self) -> Sequence[Group] | None:
        """None if each is known."""
        if self._each is None and not self._are_many:
            self._count()
        if self._each is not None:
            return None
        if self._groups is None:
            self._groups = self._tx.groups.of(self._account_id)
        return self._groups

    @property
    def phases(self) -> set[Phase]:
        """The phases that these sessions are in."""
        known = self.groups
        if known is None:
            return {groups.phase_of(one) for one in self.each.values()}
        return {group.phase for group in known}

    def are_at_least(self, number: int) -> None:
        """Note that this many sessions were seen. If they are many, counting them is unnecessary."""
        self._are_many = self._are_many or number > self._few

    def remember(self, before: Session | None, after: Session) -> None:
        """Take over a session of the account that was saved. `before`: as it was, None for a new one."""
        if self._groups is not None:
            self._groups = groups.changed(self._groups, _if_active(before), _if_active(after))
        for known in (self._first, self._each):  # what is not known is read at the first use
            if known is not None and after.state in ACTIVE:
                known[after.id] = Metered.of(after)
            elif known is not None:
                known.pop(after.id, None)

    # questions

    def can_begin(self, left: Decimal, joining: Session, now: datetime) -> bool:
        """Return whether so much pays the first block of `joining` in addition to all sessions that run."""
        known = self.groups
        if known is not None and groups.surely_begins(left, known, joining, now, ZERO):
            return True
        others = [one for one in self.running if one.id != joining.id]
        return money.can_begin(left, others, joining, now)

    def missing(
        self, balance: Decimal, joining: Session, now: datetime, seconds: int, overdraft: Decimal
    ) -> Decimal | None:
        """Return how much money is missing to carry all sessions and `joining` for the coming time; None if none is
        missing."""
        known = self.groups
        if known is not None and groups.surely_funded(balance, known, joining, now, seconds, overdraft):
            return None
        others = [one for one in self.each.values() if one.id != joining.id]
        return money.funded(balance, others, joining, now, seconds, overdraft)

    def uncharged_at_most(self, now: datetime) -> Decimal:
        """Return an upper bound of what running sessions have cost by now and was not charged yet; where many
        run, the true sum may be less by a block of each."""
        known = self.groups
        return self.uncharged(now) if known is None else groups.uncharged_at_most(known, now)

    def uncharged(self, now: datetime) -> Decimal:
        """Return what running sessions have cost by now and was not charged yet."""
        return sum((money.uncharged(one, now) for one in self.running), ZERO)

    def per_hour(self) -> Decimal:
        """Return what all that start or run cost an hour."""
        known = self.groups
        if known is not None:
            return sum((one.price_per_node_hour * one.nodes * one.sessions for one in known), ZERO)
        return sum((one.price_per_node_hour * one.nodes for one in self.each.values()), ZERO)

    def spent_at(self, amount: Decimal, now: datetime) -> datetime | None:
        """Return when the cost of running sessions that is not charged yet exceeds this amount, or, if many run, an
        instant before that; None if it never does."""
        known = self.groups
        if known is not None:
            return groups.last_until(amount, known, now)
        end = money.funds_end(amount, self.running, now)
        return None if end is None else end.at

    def with_funds(
        self,
        account: Account,
        policy: Policy,
        now: datetime,
        limits: Sequence[FundsLimit],
        since: datetime | None = None,
    ) -> Account:
        """Return the account with the end of its funds, which comes with the first of the limits. If many sessions run
        and the end is far, return an instant before it. `since`: until then every due stop was applied; None: until
        now."""
        runs, known = Phase.RUNNING in self.phases, self.groups
        if known is not None:
            until = hard_stops.lasts_until(limits, known, now)
            if funds.is_far(until, policy, now):
                return funds.lasting(account, until, now, runs=runs)
        return funds.with_funds(account, self.first_end(limits, since or now), now, runs=runs)

    def first_end(self, limits: Sequence[FundsLimit], since: datetime) -> money.FundsEnd | None:
        """Return the first block from `since` on that one of the limits does not pay."""
        return hard_stops.first_end(limits, self.running, since)

    # inside

    def _count(self) -> None:
        if self._were_many:
            self._groups = self._tx.groups.of(self._account_id) if self._groups is None else self._groups
            self.are_at_least(sum(group.sessions for group in self._groups))
        if not self._are_many:
            few = self._few_first()
            if len(few) <= self._few:
                self._each = {one.id: one for one in few}
            self.are_at_least(len(few))

    def _few_first(self) -> Sequence[Metered]:
        if self._first is not None:
            return list(self._first.values())
        return self._tx.sessions.metered(self._account_id, self._few + 1)


def _if_active(session: Session | None) -> Session | None:
    return session if session is not None and session.state in ACTIVE else None


class Spending:
    """What an account's budgets allow, and which thresholds are reached. Without budgets nothing is read.

    Where an upper bound of what many sessions have used would decide, they are read one by one."""

    def __init__(self, tx: Transaction, burning: Burning) -> None:
        self._tx, self._burning = tx, burning

    def refusal(self, account: Account, joining: Session, now: datetime) -> Refusal | None:
        """Return why the budgets do not allow this session to start; None if they do."""
        if not account.budgets:
            return None
        per_hour = joining.price_per_node_hour * joining.nodes
        first_block = money.cost_of(joining.price_per_node_hour, joining.nodes, 1, joining.block_seconds)
        return self._used_up(account, now, first_block) or budgets.check_burn_rate(
            account.budgets, self._burning.per_hour(), per_hour, account.currency
        )

    def used(self, account: Account, period: BudgetPeriod, now: datetime) -> Decimal:
        """Return what the account has used in the period that `now` is in."""
        since = budgets.first_day(period, now)
        carried = sum(
            (budgets.carried_into(one, since) for one in account.budgets if one.period is period), ZERO
        )
        spent = self._tx.costs.of_account(account.id, since)
        return max(ZERO, spent - carried + self._burning.uncharged(now))

    def limits(self, account: Account, at: datetime) -> Sequence[FundsLimit]:
        """Return what the budgets with a hard stop leave in the periods of `at`, which have begun."""
        return hard_stop_limits(self._tx, account, at)

    def in_periods_of(self, account: Account, at: datetime) -> Account:
        """Return the account with its hard stops in the periods of `at`. Each period begins with what its sessions had
        used by then: call it before a stop that comes later is applied."""
        while (began := hard_stops.behind_since(account.budgets, at)) is not None:
            running = self._burning.running
            day = began if running else at  # without costs, the periods between are of no interest
            carried = {
                one: self._tx.costs.of_account(account.id, one)
                + hard_stops.used_before(running, budgets.starts_at(one))
                for one in hard_stops.first_days(account.budgets, day)
            }
            account = replace(account, budgets=hard_stops.begun(account.budgets, day, carried))
        return account

    def funds_end(
        self, account: Account, balance: FundsLimit, since: datetime, until: datetime
    ) -> FundsEnd | None:
        """Return the first block from `since` on that the balance, or a budget with a hard stop, cannot pay. Budgets
        are known in the periods that begin by `until`."""
        while True:
            account = self.in_periods_of(account, since)
            end = self._burning.first_end((*self.limits(account, since), balance), since)
            following = hard_stops.next_period(account.budgets, since)
            if following is None or following > until or not self._burning.running:
                return end
            if end is not None and end.at < following:
                return end
            since = following

    def warn(self, limits: Sequence[FundsLimit], now: datetime) -> None:
        """Announce to running sessions that a budget ends them, each with its own instant."""
        ends = hard_stops.ends_to_announce(limits, self._burning.running, now)
        stops = {one.session_id: one for one in ends}
        found = self._tx.sessions.lock_all(stops)
        self._tx.outbox.add(
            [
                events.expiring(session, stops[session.id].at, StopReason.BUDGET_EXHAUSTED, now)
                for session in found.values()
                if session.ends_at is None or session.ends_at > stops[session.id].at
            ]
        )

    def announced(self, account: Account, now: datetime) -> Account:
        """Return the account with the thresholds that are reached by now, and its next posting early enough for the
        next one."""
        if not account.budgets:
            return account
        spent = charged(self._tx, account, now)
        most = self._burning.uncharged_at_most(now)
        reached = budgets.announced(account.budgets, spent, most, now)
        if reached != account.budgets:  # what is announced stays so: now exactly
            reached = budgets.announced(account.budgets, spent, self._burning.uncharged(now), now)
        after = replace(account, budgets=reached)
        left = budgets.left_to_next(after.budgets, spent)
        if after.next_charge_at is None or after.next_charge_at <= now or left is None:
            return after
        at = self._burning.spent_at(left - MICRO, now)
        if at is None or at >= after.next_charge_at:
            return after
        return replace(after, next_charge_at=max(at, now + LEAST_WAIT))

    def _used_up(self, account: Account, now: datetime, first_block: Decimal) -> Refusal | None:
        spent = charged(self._tx, account, now)
        most = self._burning.uncharged_at_most(now)
        refusal = budgets.check_budgets(account.budgets, spent, most, account.currency, first_block)
        if refusal is None:
            return None
        exactly = self._burning.uncharged(now)
        return (
            refusal
            if exactly == most
            else budgets.check_budgets(account.budgets, spent, exactly, account.currency, first_block)
        )


def hard_stop_limits(tx: Transaction, account: Account, at: datetime) -> Sequence[FundsLimit]:
    """Return what the budgets with a hard stop leave in the periods of `at`. Without such a budget nothing is read."""
    stopping = tuple(hard_stops.hard_stops(account.budgets))
    if not stopping:
        return ()
    return hard_stops.limits_of(stopping, charged(tx, replace(account, budgets=stopping), at), at)


def charged(tx: Transaction, account: Account, now: datetime) -> dict[BudgetPeriod, Decimal]:
    """Return what was charged in the period of each budget, without what was carried into it."""
    since = {one: budgets.first_day(one.period, now) for one in account.budgets}
    return {
        one.period: tx.costs.of_account(account.id, day) - budgets.carried_into(one, day)
        for one, day in since.items()
    }
