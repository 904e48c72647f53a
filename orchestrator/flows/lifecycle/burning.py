"""The starting and running sessions of one account: one by one where they are few or groups are not exact enough; else
in groups."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from orchestrator.rules.billing import funds, groups, hard_stops, money
from orchestrator.rules.billing.groups import FEW, Group, Phase
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import ACTIVE, State
from orchestrator.rules.values import ZERO, Account, Policy, Session
from orchestrator.store.transaction import Transaction


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
        """Prepare to read the sessions that cost money. `few`: up to so many are read one by one. `metered`, one more
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
        """None where each is known."""
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
        """Note that so many sessions were seen. If they are many, counting them is unnecessary."""
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
