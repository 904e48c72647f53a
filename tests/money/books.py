"""A second set of books, by brute force: every block that began is counted, one by one.

Nothing here is taken from `rules/billing/money.py`; its results in rows and ledger are compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import pairwise

from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.values import Session
from tests.money.history import OVER, History, Life, Run

ZERO, INFINITE = Decimal(0), Decimal("Infinity")
HOUR = timedelta(hours=1)
_REPORTED = ("spent", "not_yet_charged", "expected")
#: Stops that a rule foresees; the others take effect when their event is written.
FORESEEN = frozenset(
    {
        "max_duration",
        "max_interactions",
        "idle",
        "max_cost",
        "model_limit",
        "balance_exhausted",
        "budget_exhausted",
        "provider_ended",
    }
)
#: Stops that depend on what the whole account has used.
_OF_ACCOUNTS = frozenset({"balance_exhausted", "budget_exhausted"})


@dataclass(frozen=True, order=True)
class Begun:
    """A block that began. Those of running sessions begin before anything else at the same instant."""

    at: datetime
    seq: int
    """Sequence number of the event that began its run, for the first block of a run; 0 for those that follow."""
    session_id: str
    amount: Decimal


@dataclass
class Overdraft:
    """How far an account may go below zero, and how that changed."""

    first: Decimal
    changes: list[tuple[datetime, int, Decimal]] = field(default_factory=list)
    """When, after which event, to what."""

    def change(self, at: datetime, seq: int, limit: Decimal) -> None:
        self.changes.append((at, seq, limit))

    def of(self, block: Begun) -> Decimal:
        """Return the limit within which this block began. Where a limit changes at the very instant at which a
        follow-up block begins, the lower of the two applies."""
        if block.seq:
            return [self.first, *(limit for _, seq, limit in self.changes if seq < block.seq)][-1]
        before = [self.first, *(limit for at, _, limit in self.changes if at < block.at)][-1]
        return min([before, *(limit for at, _, limit in self.changes if at == block.at)])


def cost(row: Session, blocks: int) -> Decimal:
    """Return what this many blocks cost together, rounded once."""
    with localcontext(prec=80):
        exact = row.price_per_node_hour * row.nodes * row.block_seconds * blocks / Decimal(3600)
        return exact.quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


def begun(life: Life, row: Session, until: datetime) -> Iterator[Begun]:
    """Yield every block that began by `until`: the first at once, the next when one's RUNNING time is used up."""
    block, blocks, left = timedelta(seconds=row.block_seconds), 0, timedelta(0)
    for run in life.runs:
        at, end = run.start + left, run.end
        while (at <= until if end is None else at < end) or blocks == 0:
            amount = cost(row, blocks + 1) - cost(row, blocks)
            yield Begun(at, run.seq if at == run.start else 0, life.id, amount)
            blocks, at = blocks + 1, at + block
        left = at - (end or until)


def begun_and_given_back(life: Life, row: Session, seq: int) -> Iterator[Begun]:
    """Yield the blocks that had begun when event `seq` was decided and that a later event gave back: a brake held a
    session that was dead."""
    for n, run in enumerate(life.runs):
        if run.given_back is not None and run.given_back[0] > seq:
            held = replace(run, end=run.given_back[1])
            longer = replace(life, runs=[*life.runs[:n], held])
            kept = {
                block.at for block in begun(replace(life, runs=life.runs[: n + 1]), row, run.given_back[1])
            }
            yield from (one for one in begun(longer, row, run.given_back[1]) if one.at not in kept)


def check_books(
    history: History, now: datetime, overdrafts: Mapping[str, Overdraft], *, settled: bool
) -> None:
    """Check ledger, caches, and every block that each session began. `settled`: nothing is due any more."""
    rows = history.rows
    _check_ledger(history)
    _check_costs(history)
    if settled:
        _check_reported(history, now)
    for life in history.lives.values():
        row = rows.sessions[life.id]
        assert life.state == row.state.value, f"{life.id} is {row.state}, its events say {life.state}"
        _check_session(life, row, now, settled=settled)
    for account_id in rows.accounts:
        _check_account(history, account_id, now, overdrafts[account_id], settled=settled)


def _check_ledger(history: History) -> None:
    rows = history.rows
    assert not [entry for entry in rows.ledger if entry.kind == "write_off"], "money was written off"
    keys = [entry.key for entry in rows.ledger]
    assert len(keys) == len(set(keys))
    for account_id, account in rows.accounts.items():
        book = f"account:{account_id}"
        came = sum((entry.amount for entry in rows.ledger if entry.credit == book), ZERO)
        went = sum((entry.amount for entry in rows.ledger if entry.debit == book), ZERO)
        assert account.balance == came - went, f"{account_id}: {account.balance} is not {came} - {went}"
        back = sum((e.amount for e in rows.ledger if e.credit == book and e.kind == "reversal"), ZERO)
        credited = sum((credit.amount for credit in history.credits.get(account_id, [])), ZERO)
        assert came - back == credited, f"{account_id}: {came - back} arrived, the events say {credited}"
    for session_id, row in rows.sessions.items():
        mine = [entry for entry in rows.ledger if entry.session_id == session_id]
        moved = (-entry.amount if entry.kind == "reversal" else entry.amount for entry in mine)
        assert sum(moved, ZERO) == row.charged, session_id
        assert [entry.key for entry in mine] == [f"charge:{session_id}:{n + 1}" for n in range(row.charges)]


def _check_costs(history: History) -> None:
    """Check that the costs by account, day and model are the ledger's."""
    rows, sums = history.rows, dict[tuple[str, date, str], Decimal]()
    for entry in rows.ledger:
        if entry.session_id is not None:
            key = entry.account_id, entry.at.date(), rows.sessions[entry.session_id].model_id
            moved = entry.amount if entry.kind == "charge" else -entry.amount
            sums[key] = sums.get(key, ZERO) + moved
    added = dict[tuple[str, date, str], Decimal]()
    for account, day, model, amount in rows.costs:
        added[account, day, model] = added.get((account, day, model), ZERO) + amount
    assert added == sums


def _check_reported(history: History, now: datetime) -> None:
    """Check what is reported against every block that began, and every block until the stops to come."""
    rows, used, expected = history.rows, ZERO, ZERO
    for life in history.lives.values():
        row = rows.sessions[life.id]
        cost_so_far = cost(row, len(list(begun(life, row, now))))
        used += cost_so_far
        account = rows.accounts[row.account_id]
        runs = life.runs and life.runs[-1].end is None
        ends = [row.ends_at, account.funds_end_at if account.funds_session_id == life.id else None]
        end = min((at for at in ends if at is not None), default=None) if runs else None
        if end is None:
            expected += cost_so_far
        else:
            last = replace(life.runs[-1], end=end)
            stopped = replace(life, runs=[*life.runs[:-1], last])
            expected += cost(row, len(list(begun(stopped, row, end))))
    for by in CostsBy:
        [total] = history.costs(by, now)["totals"] or [dict.fromkeys(_REPORTED, "0")]
        spent, unposted, later = (Decimal(total[name]) for name in _REPORTED)
        assert (spent + unposted, later) == (used, expected), by


def _check_session(life: Life, row: Session, now: datetime, *, settled: bool) -> None:
    """Check that each second of RUNNING is charged exactly once."""
    if life.runs and life.runs[-1].end is None:
        if settled:  # else a stop in the past may be due, and ends the cost there
            most = cost(row, len(list(begun(life, row, now))))
            least = (
                cost(row, len(list(begun(life, row, now - HOUR))))
                if life.runs[-1].start < now - HOUR
                else ZERO
            )
            assert least <= row.charged <= most, f"{life.id} has cost {most}, charged is {row.charged}"
        return
    expected = cost(row, len(list(begun(life, row, now))))
    assert row.charged == expected, f"{life.id} has cost {expected}, charged is {row.charged}"
    if life.state in OVER | {"stopping"} and life.runs:
        _check_stop(life, row)


def _check_stop(life: Life, row: Session) -> None:
    """Check that it stopped at the earliest of its rules, however late that was decided."""
    ended, run = row.stopped_at, life.runs[-1]
    if row.stop_reason is None or ended is None or run.end != ended or life.stop_event_at is None:
        return  # it stopped during a move
    instants = dict(_instants(life, row, run))
    reason = row.stop_reason.value
    if reason in FORESEEN:
        assert reason in _OF_ACCOUNTS or instants[reason] == ended, f"{life.id} at {ended}: {instants}"
        assert ended <= min(instants.values()), f"{life.id} ran on until {ended}: {instants}"
    else:
        decided = run.given_back[1] if run.given_back and reason == "dead" else ended
        assert decided == life.stop_event_at, (
            f"{life.id} stopped at {ended}, its event is of {life.stop_event_at}"
        )
        assert decided < min(instants.values()), f"{life.id} ran on until {ended}: {instants}"


def _instants(life: Life, row: Session, run: Run) -> Iterator[tuple[str, datetime]]:
    first = life.runs[0].start
    own = min(
        limit for limit in (row.max_duration_seconds, row.plan_max_duration_seconds) if limit is not None
    )
    yield "max_duration", first + timedelta(seconds=own)
    if row.max_interactions is not None and row.interactions >= row.max_interactions and row.limit_reached_at:
        yield "max_interactions", row.limit_reached_at
    if row.idle_seconds is not None:
        used = row.last_interaction_at
        since = used if used is not None and used >= run.start else run.start
        yield "idle", since + timedelta(seconds=row.idle_seconds)
    if run.declared_end is not None:
        yield "provider_ended", run.declared_end
    if row.max_cost is not None:
        total, going = ZERO, Run(seq=run.seq, start=run.start, declared_end=None)
        forever = Life(id=life.id, account=life.account, state="running", runs=[*life.runs[:-1], going])
        for block in begun(forever, row, run.start + timedelta(days=1)):
            total += block.amount
            if total > row.max_cost:
                yield "max_cost", max(block.at, run.start)
                return


def _check_account(
    history: History, account_id: str, now: datetime, overdraft: Overdraft, *, settled: bool
) -> None:
    """Check that the funds covered all that had begun, at each instant, and that no session stopped for funds that were
    there."""
    mine = [life for life in history.lives.values() if life.account == account_id]
    blocks = [block for life in mine for block in begun(life, history.rows.sessions[life.id], now)]
    if settled:
        _check_never_below(history, account_id, blocks, overdraft)
    for life in mine:
        row = history.rows.sessions[life.id]
        if row.stop_reason == "balance_exhausted" and life.runs and life.runs[-1].end == row.stopped_at:
            _check_shortage(history, life, row, blocks, overdraft)


def _check_never_below(history: History, account_id: str, blocks: list[Begun], overdraft: Overdraft) -> None:
    """Check that no block began beyond the limit of its time. Lowering the limit later forgives no debt."""
    begins = [(block.at, block.seq, -block.amount, -overdraft.of(block)) for block in blocks]
    arrives = [(one.time, one.seq, one.amount, -INFINITE) for one in history.credits.get(account_id, [])]
    balance = ZERO
    for at, _, amount, lowest in sorted([*begins, *arrives], key=lambda move: move[:2]):
        balance += amount
        assert amount == 0 or balance >= lowest, f"{account_id} had {balance} at {at}"


def _check_shortage(
    history: History, life: Life, row: Session, blocks: list[Begun], overdraft: Overdraft
) -> None:
    """Check that the block that would have begun at its stop could not be paid, after all that came before it; or that
    what had begun could not, once the limit was lowered."""
    ended, decided = row.stopped_at, life.stopped_seq
    assert ended is not None
    assert decided is not None
    limit = overdraft.of(Begun(at=ended, seq=0, session_id=life.id, amount=ZERO))
    there = limit + sum(
        (c.amount for c in history.credits[life.account] if c.time <= ended and c.seq < decided), ZERO
    )
    rows = history.rows.sessions
    others = (one for one in history.lives.values() if one.account == life.account)
    returned = [block for one in others for block in begun_and_given_back(one, rows[one.id], decided)]
    spent = sum(
        (
            b.amount
            for b in [*blocks, *returned]
            if b.seq < decided and (b.at, b.seq == 0, b.session_id) < (ended, True, life.id)
        ),
        ZERO,
    )
    own = [cost(row, len(list(begun(life, row, ended)))), cost(row, len(list(begun(life, row, ended))) + 1)]
    [following] = [later - earlier for earlier, later in pairwise(own)]
    assert spent + following > there, f"{life.id} stopped at {ended} with {there - spent} to pay {following}"
