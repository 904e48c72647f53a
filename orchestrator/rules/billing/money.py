"""The cost of a session and the end of an account's funds, by formula: nothing is written for each block.

Money is `Decimal` with six places. Blocks are counted over the RUNNING time of all intervals together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import floor

from orchestrator.rules.billing.meters import (
    EPOCH,
    SECOND,
    TICK,
    Costly,
    CostMeter,
    ceil,
    first_overspent,
    half_even,
    per_block,
    price_of_block,
    unpaid,
)
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import ZERO, BudgetPeriod, Session, Usable
from orchestrator.rules.values.horizon import HORIZON

MICRO = Decimal("0.000001")
#: An amount with more digits is a typing error.
_MAX_AMOUNT = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class FundsEnd:
    """At `at` a block of `session_id` begins that the account cannot pay, or its budget does not allow."""

    at: datetime
    session_id: str
    by: BudgetPeriod | None = None
    """The budget that cannot pay it; None: the balance."""


def end_reason(by: BudgetPeriod | None) -> StopReason:
    """Return why a session stops where this budget, or without one the balance, cannot pay it."""
    return StopReason.BALANCE_EXHAUSTED if by is None else StopReason.BUDGET_EXHAUSTED


def payer_of(by: BudgetPeriod | None) -> str:
    """Return what cannot pay it, in words."""
    return "the balance of the account" if by is None else f"the account's budget of the {by}"


def cost_of(price_per_node_hour: Decimal, nodes: int, blocks: int, block_seconds: int) -> Decimal:
    """Return the price of `blocks` blocks. Only the total is rounded (half-even), never a block, so rounding errors do
    not add up."""
    numerator, denominator = per_block(price_per_node_hour, nodes, block_seconds)
    return _as_money(half_even(numerator * blocks, denominator))


def ran_by(session: Costly, at: datetime) -> int:
    """Return the microseconds of RUNNING by `at`, over all intervals."""
    if session.running_since is None:
        return session.ran_microseconds
    return session.ran_microseconds + max(0, (at - session.running_since) // TICK)


def cost_by(session: Costly, at: datetime) -> Decimal:
    """Return what the session has cost by `at`. A block is charged as it begins, and a failover begins no new one."""
    if session.running_since is None:
        return cost_if_stopped_at(session, at)
    if at < session.running_since:
        return _cost(session, ceil(session.ran_microseconds, session.block_seconds * SECOND))
    return _cost(session, ran_by(session, at) // (session.block_seconds * SECOND) + 1)


def cost_if_stopped_at(session: Costly, at: datetime) -> Decimal:
    """Return what the session costs in all if its stop takes effect at `at`: a block that would begin then does not. A
    session that ran at all has cost its first block."""
    blocks = ceil(ran_by(session, at), session.block_seconds * SECOND)
    return _cost(session, max(blocks, int(session.ever_ran)))


def next_block_at(session: Costly, at: datetime) -> datetime | None:
    """Return when the next block after `at` is charged; None for a session that does not run."""
    if session.running_since is None:
        return None
    block = session.block_seconds * SECOND
    begun = (ran_by(session, at) // block + 1) * block
    return session.running_since + (begun - session.ran_microseconds) * TICK


def uncharged(session: Costly, at: datetime) -> Decimal:
    """Return what the session has cost by `at` and is not yet in the ledger."""
    return cost_by(session, at) - session.charged


def cost_limit_at(session: Usable) -> datetime | None:
    """Return when the first block begins that the session's `max_cost` cannot pay; None if that never happens."""
    if session.max_cost is None or session.running_since is None or session.price_per_node_hour <= 0:
        return None
    ran = payable_blocks(session, session.max_cost) * session.block_seconds * SECOND
    left = max(0, ran - session.ran_microseconds) * TICK if ran < HORIZON // TICK else HORIZON
    return session.running_since + left if left < HORIZON else None


def payable_blocks(session: Usable, amount: Decimal) -> int:
    """Return how many blocks `amount` pays: the most with a rounded cost that does not exceed it. Not for a free
    session."""
    numerator, denominator = price_of_block(session)
    limit = floor(amount / MICRO)
    # A total just below limit + ½ is rounded down to the limit; the half itself only towards an even limit.
    return ((2 * limit + 1) * denominator - limit % 2) // (2 * numerator)


def first_block_beyond(session: Session) -> Decimal | None:
    """Return the cost of the first block if the session's `max_cost` does not pay even that; else None."""
    first = _cost(session, 1)
    return first if session.max_cost is not None and first > session.max_cost else None


def funded(
    balance: Decimal,
    active: Sequence[Costly],
    joining: Session,
    now: datetime,
    min_funded_seconds: int,
    overdraft: Decimal = ZERO,
) -> Decimal | None:
    """Return None if the balance pays for `active` and `joining` for the coming time; else the amount missing.

    `joining` is not among `active`. A starting session counts as if it began to run now. The time is rounded up to
    whole blocks of each session, at least one."""
    begun = replace(joining, running_since=now)
    in_all = sum((needed(session, now, min_funded_seconds) for session in (*active, begun)), ZERO)
    missing = in_all - balance - overdraft
    return missing if missing > 0 else None


def needed(session: Costly, now: datetime, seconds: int) -> Decimal:
    """Return what a starting or running session costs in the coming time, in whole blocks, beyond what was charged."""
    if session.state is State.STARTING and session.running_since is None:
        session = replace(session, running_since=now)
    if session.running_since is None:  # it stops, and costs nothing further
        return uncharged(session, now)
    whole = max(1, ceil(seconds, session.block_seconds)) * session.block_seconds
    return cost_if_stopped_at(session, now + timedelta(seconds=whole)) - session.charged


def can_begin(
    balance: Decimal, running: Sequence[Costly], joining: Costly, now: datetime, overdraft: Decimal = ZERO
) -> bool:
    """Return whether the block that `joining` begins at `now` can be paid, beside all blocks of `running` that began by
    then.

    `joining` is paid last whatever its id, since a block that began cannot be taken back. A session that is resumed
    within a block that it has paid begins none."""
    own = uncharged(joining, now)
    spent = sum((uncharged(session, now) for session in running), own)
    return own <= 0 or spent <= balance + overdraft


def funds_end(
    balance: Decimal, running: Sequence[Costly], since: datetime, overdraft: Decimal = ZERO
) -> FundsEnd | None:
    """Return the first instant from `since` on at which a block begins that the balance cannot pay, and its session.

    Blocks that begin at one instant are paid in the order of session ids. Where blocks that began before
    `since` cannot be paid, it is `since` and the first session by id. A free session never ends for funds.
    """
    meters = [CostMeter.of(session) for session in sorted(running, key=_by_id) if _burns(session)]
    if not meters:
        return None
    spent = sum((cost_by(s, since) for s in running if not _burns(s)), ZERO)
    funds = balance + overdraft + sum((s.charged for s in running), ZERO) - spent
    limit = floor(funds / MICRO)
    at = first_overspent(meters, limit, (since - EPOCH) // TICK)
    return None if at is None else FundsEnd(EPOCH + at * TICK, unpaid(meters, limit, at))


def burn_per_hour(sessions: Iterable[Costly]) -> Decimal:
    """Return the cost per hour of those of `sessions` that run, together."""
    return sum((s.price_per_node_hour * s.nodes for s in sessions if s.running_since is not None), ZERO)


def money_at_risk(price_per_node_hour: Decimal, nodes: int, since: datetime, now: datetime) -> Decimal:
    """Return what a placement may have cost at its provider since we first tried to end it: our loss, not the
    user's."""
    numerator, denominator = per_block(price_per_node_hour, nodes, 1)
    elapsed = max(0, (now - since) // TICK)
    return _as_money(half_even(numerator * elapsed, denominator * SECOND))


def parse_amount(text: str) -> Decimal | None:
    """Return an amount as people and services write it; None for a text that is no number or has more than six
    places."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount) >= _MAX_AMOUNT:
        return None
    exact = amount.quantize(MICRO)
    return exact if exact == amount else None


def _burns(session: Costly) -> bool:
    return session.running_since is not None and session.price_per_node_hour > 0


def _by_id(session: Costly) -> str:
    return session.id


def _cost(session: Costly, blocks: int) -> Decimal:
    return cost_of(session.price_per_node_hour, session.nodes, blocks, session.block_seconds)


def _as_money(millionths: int) -> Decimal:
    return Decimal(millionths) * MICRO
