"""A second ledger. The formula is written here again, in fractions, so that it checks the first."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from orchestrator.rules.states import TERMINAL, State
from orchestrator.rules.values import BudgetPeriod, Session
from tests.simulation.evidence import Evidence, total

Found = Iterator[tuple[str, str]]

#: Events are stamped at the end of their transaction, sessions at its start: so far apart on a busy machine.
STAMPS = timedelta(seconds=2)
#: Interval of postings of running costs.
POSTED_EVERY = timedelta(hours=1)


def running_is_charged_once(evidence: Evidence) -> Found:
    """Check that the RUNNING time is that of the events, and that its charge is the formula, each posting once."""
    for session in evidence.sessions.values():
        yield from _time_is_what_has_event(evidence, session)
        entries = evidence.charges_of.get(session.id, ())
        if sorted(e.key for e in entries) != sorted(f"charge:{session.id}:{n}" for n in _numbers(session)):
            yield session.id, f"{session.charges} charges, in the ledger {sorted(e.key for e in entries)}"
        if total(entries) != session.charged:
            yield session.id, f"charged {session.charged}, in the ledger {total(entries)}"
        yield from _charged_by_the_formula(evidence, session)


def balance_is_never_below_zero(evidence: Evidence) -> Found:
    """Check each entry's balance, and that the cache is the sum of the entries."""
    balances: dict[str, Decimal] = defaultdict(Decimal)
    for entry in evidence.ledger:
        if entry.kind == "write_off":
            yield entry.account_id, f"{entry.amount} written off at {entry.at}: the funds were overdrawn"
        balances[entry.credit] += entry.amount
        balances[entry.debit] -= entry.amount
        book = f"account:{entry.account_id}"
        if balances[book] < 0:
            yield entry.account_id, f"{balances[book]} after {entry.key} at {entry.at}"
    for account in evidence.accounts.values():
        if account.balance != balances[f"account:{account.id}"]:
            yield account.id, f"cache {account.balance}, ledger {balances[f'account:{account.id}']}"
    keys = [entry.key for entry in evidence.ledger]
    if len(keys) != len(set(keys)):
        yield "ledger", "one key twice"


def hard_stops_hold(evidence: Evidence) -> Found:
    """Check what each account with a hard stop has used since its first credit. Its budgets stood all that time."""
    for account in evidence.accounts.values():
        came = [entry.at for entry in evidence.ledger if entry.account_id == account.id]
        used = sum(
            (one.charged for one in evidence.sessions.values() if one.account_id == account.id), Decimal(0)
        )
        for budget in account.budgets if came else ():
            number = _periods(budget.period, min(came), evidence.now)
            if budget.hard_stop and used > budget.amount * number:
                yield account.id, f"used {used} of {budget.amount} a {budget.period}, in {number} of them"


def _periods(period: BudgetPeriod, first: datetime, last: datetime) -> int:
    """Return how many periods there are from one instant to another, the first and the last as whole ones."""
    if period is BudgetPeriod.DAY:
        return (last.date() - first.date()).days + 1
    return (last.year - first.year) * 12 + last.month - first.month + 1


def ran(evidence: Evidence, session: Session) -> tuple[timedelta, timedelta]:
    """Return the least and the most that it was RUNNING, from its events."""
    least = most = timedelta(0)
    since: datetime | None = None
    for event in evidence.events_of.get(session.id, ()):
        if event.kind == "session.running":
            since = event.at
        elif since is not None and event.kind == "session.failed_over":
            most += event.at - since  # its instant may be before its event, where the provider's end had come
            since = None
        elif since is not None and event.kind in {"session.stopping", "session.stopped"}:
            lasted = max(timedelta(0), (session.stopped_at or event.at) - since)
            least, most, since = least + lasted, most + lasted, None
    return least, most


def stamped_apart(evidence: Evidence, session: Session) -> timedelta:
    """Return how far the RUNNING time of the row is from that of its events."""
    least, most = ran(evidence, session)
    measured = timedelta(microseconds=session.ran_microseconds)
    return max(least - measured, measured - most, timedelta(0))


def cost(session: Session, ran_for: timedelta) -> Decimal:
    """Return the cost of its RUNNING time in whole blocks, as they begin; a session that ran at all pays the first.
    Rounded once, half-even."""
    block = timedelta(seconds=session.block_seconds)
    return cost_of_blocks(session, max(-(-ran_for // block), int(session.running_at is not None)))


def cost_of_blocks(session: Session, blocks: int) -> Decimal:
    """Return what this many blocks cost together."""
    exact = Fraction(session.price_per_node_hour) * session.nodes * blocks * session.block_seconds / 3600
    return Decimal(round(exact * 1_000_000)).scaleb(-6)


def _numbers(session: Session) -> range:
    return range(1, session.charges + 1)


def _time_is_what_has_event(evidence: Evidence, session: Session) -> Found:
    if stamped_apart(evidence, session) > evidence.stamps:
        measured, (least, most) = timedelta(microseconds=session.ran_microseconds), ran(evidence, session)
        yield session.id, f"RUNNING for {measured} in its row, between {least} and {most} in its events"
    if (session.running_since is None) != (session.state is not State.RUNNING):
        yield session.id, f"{session.state} with running_since {session.running_since}"


def _charged_by_the_formula(evidence: Evidence, session: Session) -> Found:
    before = timedelta(microseconds=session.ran_microseconds)
    if session.running_since is None:
        if session.charged != cost(session, before):
            yield session.id, f"charged {session.charged} for {before}, due is {cost(session, before)}"
        return
    running = max(timedelta(0), evidence.now - session.running_since)
    block = timedelta(seconds=session.block_seconds)
    if session.charged > cost(session, before + running + block):
        yield session.id, f"charged {session.charged} for {before + running} so far: too much"
    delay = (
        POSTED_EVERY + timedelta(minutes=5) + evidence.trouble_between(session.running_since, evidence.now)
    )
    if running > delay and session.charged < cost(session, before + running - delay):
        yield session.id, f"charged {session.charged} for {before + running} so far: not posted hourly"


def ended(session: Session) -> bool:
    """Return whether its last interval is over."""
    return session.state in TERMINAL | {State.STOPPING}
