"""Budgets, checked block by block: a block counts in the day or month in which it begins.

Nothing here is taken from `rules/billing/hard_stops.py`; its stops are compared."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules.values import Session
from tests.in_process import START
from tests.money.books import INFINITE, ZERO, Begun, Overdraft, begun, begun_and_given_back, cost
from tests.money.history import History, Life

PERIODS = ("day", "month")


@dataclass
class KeptBudget:
    """The budget of one account and period, and how it changed."""

    period: str
    amount: Decimal | None = None
    """As it is now; None: there is no budget."""
    hard: bool = False
    limit: Overdraft = field(default_factory=lambda: Overdraft(INFINITE))
    """What it allows to running sessions, and how that changed; without a hard stop, everything."""

    def change(self, at: datetime, seq: int, amount: Decimal | None, *, hard: bool) -> None:
        self.amount, self.hard = amount, hard and amount is not None
        self.limit.change(at, seq, INFINITE if amount is None or not hard else amount)

    def begins(self, at: datetime) -> datetime:
        """Return when the period of `at` begins."""
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return day if self.period == "day" else day.replace(day=1)

    def ends(self, at: datetime) -> datetime:
        """Return when the period of `at` ends."""
        return self.begins(self.begins(at) + timedelta(days=1 if self.period == "day" else 31))

    def stood(self, until: datetime) -> bool:
        """Return whether it had a hard stop from the beginning of the period until then."""
        first = max(self.begins(until), START)
        before = [limit for at, _, limit in self.limit.changes if at <= first]
        since = [limit for at, _, limit in self.limit.changes if first < at <= until]
        return INFINITE not in [*(before[-1:] or [INFINITE]), *since]


Budgets = Mapping[str, Mapping[str, KeptBudget]]
"""Account → period → its budget."""


def without_budgets(accounts: Sequence[str]) -> Budgets:
    return {account_id: {one: KeptBudget(one) for one in PERIODS} for account_id in accounts}


def check_budgets(history: History, budgets: Budgets, now: datetime, *, settled: bool) -> None:
    """Check that no block began beyond a hard stop, and that no session stopped for a budget that paid for it."""
    for account_id, kept in budgets.items():
        blocks = list(_blocks(history, account_id, now))
        if settled:
            for one in kept.values():
                _check_never_beyond(account_id, one, blocks)
        for life in _of(history, account_id):
            row = history.rows.sessions[life.id]
            if row.stop_reason == "budget_exhausted" and row.stopped_at is not None:
                _check_used_up(history, life, row, kept, blocks)


def lacks_budget(
    history: History, account_id: str, kept: Mapping[str, KeptBudget], first_block: Decimal, now: datetime
) -> bool:
    """Return whether a budget does not allow a queued session to start."""
    blocks = list(_blocks(history, account_id, now))
    return any(_is_used_up(one, used_of(one, blocks, now), first_block) for one in kept.values())


def _is_used_up(kept: KeptBudget, used: Decimal, first_block: Decimal) -> bool:
    if kept.amount is None:
        return False
    return used >= kept.amount or (kept.hard and used + first_block > kept.amount)


def _check_never_beyond(account_id: str, kept: KeptBudget, blocks: Sequence[Begun]) -> None:
    used: dict[datetime, Decimal] = defaultdict(Decimal)
    for block in sorted(blocks, key=lambda one: (one.at, one.seq)):
        used[kept.begins(block.at)] += block.amount
        limit, by_then = kept.limit.of(block), used[kept.begins(block.at)]
        assert block.amount == 0 or not kept.stood(block.at) or by_then <= limit, (
            f"{account_id} used {by_then} of its {limit} of the {kept.period} at {block.at}"
        )


def _check_used_up(
    history: History, life: Life, row: Session, kept: Mapping[str, KeptBudget], blocks: Sequence[Begun]
) -> None:
    """Check that the budget that is named could not pay the block that would have begun at the stop."""
    ended, decided = row.stopped_at, life.stopped_seq
    assert ended is not None
    assert decided is not None
    [budget] = [one for one in kept.values() if f"budget of the {one.period} " in (row.stop_detail or "")]
    if life.runs and life.runs[-1].end != ended:
        return  # it stopped during a move
    limit = budget.limit.of(Begun(at=ended, seq=0, session_id=life.id, amount=ZERO))
    returned = [
        block
        for one in _of(history, life.account)
        for block in begun_and_given_back(one, history.rows.sessions[one.id], decided)
    ]
    last = (ended, True, life.id) if life.runs else (ended, True, "~")  # a first block is paid last
    earlier = [b for b in [*blocks, *returned] if b.seq < decided and (b.at, b.seq == 0, b.session_id) < last]
    spent = used_of(budget, earlier, ended)
    begun_by_now = len(list(begun(life, row, ended))) if life.runs else 0
    following = cost(row, begun_by_now + 1) - cost(row, begun_by_now)
    assert spent + following > limit, (
        f"{life.id} stopped at {ended}, {spent} of the {limit} of its {budget.period} were used, and {following} follow"
    )


def used_of(budget: KeptBudget, blocks: Sequence[Begun], at: datetime) -> Decimal:
    """Return what these blocks used of the budget in the period of `at`. Of a budget that had no hard stop throughout,
    this is an upper bound: what is posted in a period counts in it, though it was used before."""
    counted = [one for one in blocks if one.at >= budget.begins(at) or not budget.stood(at)]
    return sum((one.amount for one in counted), ZERO)


def _of(history: History, account_id: str) -> Iterator[Life]:
    return (life for life in history.lives.values() if life.account == account_id)


def _blocks(history: History, account_id: str, now: datetime) -> Iterator[Begun]:
    for life in _of(history, account_id):
        yield from begun(life, history.rows.sessions[life.id], now)
