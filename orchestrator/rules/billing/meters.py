"""Running sessions as whole numbers, and the search for the instant at which they have spent a limit.

Money is counted in millionths and time in microseconds since EPOCH, so that every comparison is exact. The search does
not loop over all blocks."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import TypeAlias

from orchestrator.rules.states import State
from orchestrator.rules.values import Session, UsedSession
from orchestrator.rules.values.horizon import HORIZON

SECOND = 1_000_000
TICK = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Up to this many blocks of each session are searched one by one; more are searched by halving.
_FEW_BLOCKS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Metered:
    """The few fields that the cost of a starting or running session depends on: an account may have thousands of
    sessions."""

    id: str
    state: State
    nodes: int
    price_per_node_hour: Decimal
    block_seconds: int
    running_at: datetime | None
    running_since: datetime | None
    ran_microseconds: int
    charged: Decimal

    @classmethod
    def of(cls, session: Session) -> "Metered":
        return cls(**{field.name: getattr(session, field.name) for field in fields(cls)})

    @property
    def ever_ran(self) -> bool:
        return self.running_at is not None


#: A session, or the fields of it that its cost depends on.
Costly: TypeAlias = Session | Metered


@dataclass(frozen=True, slots=True)
class CostMeter:
    """A running session as whole numbers, for the many steps of the search for the end of the funds."""

    session_id: str
    zero: int
    """The instant at which it would have begun, had it run without a pause."""
    since: int
    block: int
    numerator: int
    denominator: int

    @classmethod
    def of(cls, session: Costly) -> "CostMeter":
        assert session.running_since is not None
        since = (session.running_since - EPOCH) // TICK
        zero, block = since - session.ran_microseconds, session.block_seconds * SECOND
        return cls(session.id, zero, since, block, *price_of_block(session))

    def cost_at(self, at: int) -> int:
        """Return the cost at `at`, including a block that begins exactly then."""
        if at < self.since:
            return self.cost_before(at)
        return half_even(((at - self.zero) // self.block + 1) * self.numerator, self.denominator)

    def next_block(self, after: int) -> int:
        """Return when the first block after then begins."""
        blocks = max((after - self.zero) // self.block + 1, ceil(self.since - self.zero, self.block))
        return self.zero + blocks * self.block

    def cost_before(self, at: int) -> int:
        """Return the cost at `at`, excluding a block that begins exactly then."""
        ran = max(at, self.since) - self.zero
        return half_even(ceil(ran, self.block) * self.numerator, self.denominator)


def first_overspent(meters: Sequence[CostMeter], limit: int, start: int) -> int | None:
    """Return the first instant from `start` on by which the sessions cost more than `limit`; None beyond the
    horizon."""

    def spent(at: int) -> int:
        return sum(meter.cost_at(at) for meter in meters)

    end = start + HORIZON // TICK
    at_start = spent(start)
    if at_start > limit:
        return start
    if spent(end) <= limit:
        return None
    low, high = _guess(meters, limit - at_start, start, end)
    at_low = spent(low)
    if at_low > limit:
        low, at_low = start, at_start
    if (
        sum((high - low) // meter.block for meter in meters) > _FEW_BLOCKS * len(meters)
        or spent(high) <= limit
    ):
        return low + bisect_left(range(low, end), limit + 1, key=spent)
    return _walk(meters, limit - at_low, low, high)


def _walk(meters: Sequence[CostMeter], left: int, low: int, high: int) -> int:
    """Go through the blocks that begin in (low, high], in order, until `left` is spent."""
    begun = [
        (at, meter.cost_at(at) - meter.cost_before(at))
        for meter in meters
        for at in range(meter.next_block(low), high + 1, meter.block)
    ]
    begun.sort()
    totals = list(accumulate(cost for _, cost in begun))
    return begun[bisect_right(totals, left)][0]


def _guess(meters: Sequence[CostMeter], left: int, start: int, end: int) -> tuple[int, int]:
    """Return the instants between which `left` is probably spent. Floats are allowed here: they only save steps of the
    search."""
    burn = sum(meter.numerator / meter.denominator / meter.block for meter in meters)
    near = start + int(min(left / burn, end - start))
    reach = max(meter.block for meter in meters) + SECOND
    return max(start, near - reach), min(end, near + reach)


def unpaid(meters: Sequence[CostMeter], limit: int, at: int) -> str:
    """Return the session with the first block beyond `limit`, among blocks that begin at `at` and are paid in turn."""
    before = sum(meter.cost_before(at) for meter in meters)
    blocks = (meter.cost_at(at) - meter.cost_before(at) for meter in meters)
    totals = accumulate(blocks, initial=before)
    beyond = next(n for n, total in enumerate(totals) if total > limit)
    return meters[max(0, beyond - 1)].session_id  # 0: blocks that began before exceed it already


@lru_cache(maxsize=1024)
def per_block(price: Decimal, nodes: int, block_seconds: int) -> tuple[int, int]:
    """Return what a block costs in millionths, as an exact fraction."""
    numerator, denominator = price.as_integer_ratio()
    return numerator * nodes * block_seconds * 1_000_000, denominator * 3600


def price_of_block(session: Costly | UsedSession) -> tuple[int, int]:
    """Return the same for a session."""
    return per_block(session.price_per_node_hour, session.nodes, session.block_seconds)


def ceil(dividend: int, divisor: int) -> int:
    """Return the quotient of whole numbers, rounded up."""
    return -(-dividend // divisor)


def half_even(numerator: int, denominator: int) -> int:
    """Return the quotient of whole numbers, rounded to the nearest, a half to the even one."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest + quotient % 2 > denominator)
