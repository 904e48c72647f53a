"""Many sessions as a few groups of alike ones: the most they cost, and how long the funds last at least.

A group knows sums and no single session, so its results are bounds. Each errs on the safe side: where it matters, the
sessions are then computed one by one. A bound is off by at most one block of each session, and by rounding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import assert_never

from orchestrator.rules.billing import money
from orchestrator.rules.billing.meters import EPOCH, SECOND, TICK, Costly, ceil, half_even, per_block
from orchestrator.rules.states import State
from orchestrator.rules.values import ZERO, Session
from orchestrator.rules.values.horizon import HORIZON

_MILLION = 1_000_000
#: Up to this number, sessions of an account are computed one by one: that is exact, and costs less than groups.
FEW = 16


class Phase(StrEnum):
    STARTING = "starting"
    """It has never run."""
    MOVING = "moving"
    """It has run, and starts at its next placement."""
    RUNNING = "running"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Sessions of one account with the same phase and price."""

    phase: Phase
    price_per_node_hour: Decimal
    nodes: int
    block_seconds: int
    sessions: int
    charged: Decimal
    since_seconds: int
    """The sum of the whole seconds since 1970 at which they began to run."""
    ran_seconds: int
    """The sum of the whole seconds that each ran before."""
    latest_second: int
    """No session of the group began to run later than this."""

    @property
    def key(self) -> "Key":
        return self.phase, self.price_per_node_hour, self.nodes, self.block_seconds

    @property
    def block(self) -> int:
        return self.block_seconds * SECOND

    @property
    def zero(self) -> int:
        """A lower bound of the sum of the instants at which the sessions would have begun, had they run without a
        pause."""
        return (self.since_seconds - self.ran_seconds - self.sessions) * SECOND

    @property
    def of_block(self) -> Fraction:
        """The cost of a block, in millionths."""
        return Fraction(*per_block(self.price_per_node_hour, self.nodes, self.block_seconds))

    @property
    def rounding(self) -> Fraction:
        """The most that rounding adds: half a millionth for each session, and nothing for free ones."""
        return Fraction(self.sessions, 2) if self.price_per_node_hour else Fraction(0)

    def spent_at(self, at: int) -> Fraction:
        """Return the most that these running sessions have cost by then, with blocks that begin then, in millionths. Do
        not use it for an instant before one of them began to run."""
        ran = self.sessions * at - self.zero
        return (Fraction(ran, self.block) + self.sessions) * self.of_block + self.rounding

    def spent_by(self, at: datetime) -> Fraction:
        """Return the same for any instant: costs never decrease."""
        return self.spent_at(max(_micros(at), self.latest_second * SECOND))


Key = tuple[Phase, Decimal, int, int]


def grouped(active: Iterable[Costly]) -> Sequence[Group]:
    """Return the groups of these starting and running sessions, as the database keeps them."""
    groups: dict[Key, Group] = {}
    for one in active:
        _count(groups, one, 1)
    return [groups[key] for key in sorted(groups)]


def changed(groups: Iterable[Group], before: Costly | None, after: Costly | None) -> Sequence[Group]:
    """Return the groups after one session changed, as the database counts them. None: the session neither starts nor
    runs."""
    found = {group.key: group for group in groups}
    if before is not None:
        _count(found, before, -1)
    if after is not None:
        _count(found, after, 1)
    return [found[key] for key in sorted(found) if found[key].sessions]


def is_counted_as(counted: Group | None, there: Group | None) -> bool:
    """Return whether the database's count is right; None: no such group. Its latest second may be later, from a session
    that has left."""
    if counted is None or there is None:
        return counted is there
    latest = counted.latest_second
    return latest >= there.latest_second and replace(there, latest_second=latest) == counted


def phase_of(session: Costly) -> Phase:
    """Return the phase of a session that starts or runs."""
    if session.state is State.RUNNING:
        return Phase.RUNNING
    return Phase.MOVING if session.ever_ran else Phase.STARTING


def surely_begins(
    balance: Decimal, groups: Sequence[Group], joining: Costly, now: datetime, overdraft: Decimal
) -> bool:
    """Return whether `money.can_begin` is certainly true beside the running sessions of `groups`."""
    return uncharged_at_most(groups, now) + money.uncharged(joining, now) <= balance + overdraft


def surely_funded(
    balance: Decimal,
    groups: Sequence[Group],
    joining: Session,
    now: datetime,
    min_funded_seconds: int,
    overdraft: Decimal,
) -> bool:
    """Return whether `money.funded` certainly finds nothing missing beside all of `groups`."""
    most = sum((_needed(group, now, min_funded_seconds) for group in groups), Fraction(0))
    own = money.needed(replace(joining, running_since=now), now, min_funded_seconds)
    return _money(most) - _charged(groups) + own <= balance + overdraft


def uncharged_at_most(groups: Sequence[Group], at: datetime) -> Decimal:
    """Return an upper bound of what running sessions have cost by then and was not charged yet."""
    running = list(_running(groups))
    return _money(sum((group.spent_by(at) for group in running), Fraction(0))) - _charged(running)


def last_until(funds: Decimal, groups: Sequence[Group], now: datetime) -> datetime | None:
    """Return an instant until which `funds`, without what was charged already, certainly pay every block; None if they
    last for ever. An instant in the past means that it is not known how long they last."""
    burning = [group for group in _running(groups) if group.price_per_node_hour > 0 and group.sessions > 0]
    if not burning:
        return None
    limit = floor((funds + _charged(burning)) * _MILLION)
    spent = sum((group.spent_at(0) for group in burning), Fraction(0))
    burn = sum((group.sessions * group.of_block / group.block for group in burning), Fraction(0))
    until = floor((limit - spent) / burn)
    if until >= _micros(now) + HORIZON // TICK:
        return None
    began = max(group.latest_second for group in burning) * SECOND
    return EPOCH + (until if until >= began else 0) * TICK


def _count(groups: dict[Key, Group], one: Costly, times: int) -> None:
    key = phase_of(one), one.price_per_node_hour, one.nodes, one.block_seconds
    since = _second(one.running_since)
    found = groups.get(key) or Group(
        phase=key[0],
        price_per_node_hour=key[1],
        nodes=key[2],
        block_seconds=key[3],
        sessions=0,
        charged=ZERO,
        since_seconds=0,
        ran_seconds=0,
        latest_second=0,
    )
    groups[key] = replace(
        found,
        sessions=found.sessions + times,
        charged=found.charged + times * one.charged,
        since_seconds=found.since_seconds + times * since,
        ran_seconds=found.ran_seconds + times * (one.ran_microseconds // SECOND),
        latest_second=max(found.latest_second, since + 1),
    )


def _needed(group: Group, now: datetime, seconds: int) -> Fraction:
    whole = max(1, ceil(seconds, group.block_seconds))
    match group.phase:
        case Phase.RUNNING:
            return group.spent_by(now + timedelta(seconds=whole * group.block_seconds))
        case Phase.STARTING:
            price = group.of_block
            return Fraction(group.sessions * half_even(whole * price.numerator, price.denominator))
        case Phase.MOVING:
            ran = Fraction(group.ran_seconds + group.sessions, group.block_seconds)
            return (ran + group.sessions * (whole + 1)) * group.of_block + group.rounding
        case unknown:
            assert_never(unknown)


def _running(groups: Iterable[Group]) -> Iterator[Group]:
    return (group for group in groups if group.phase is Phase.RUNNING)


def _charged(groups: Iterable[Group]) -> Decimal:
    return sum((group.charged for group in groups), ZERO)


def _micros(at: datetime) -> int:
    return (at - EPOCH) // TICK


def _second(at: datetime | None) -> int:
    return 0 if at is None else _micros(at) // SECOND


def _money(millionths: Fraction) -> Decimal:
    return Decimal(ceil(millionths.numerator, millionths.denominator)).scaleb(-6)
