"""The next step of an account: the end of its funds, a warning before it, or the hourly posting of its costs."""

from datetime import datetime, timedelta

from orchestrator.rules.billing.hard_stops import next_period
from orchestrator.rules.billing.meters import Costly
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Account, Due, Policy
from orchestrator.rules.values.copies import replace
from orchestrator.rules.warnings import next_warning

#: Costs are posted at least this often while a session runs.
POST_EVERY = timedelta(hours=1)


def with_funds(account: Account, end: FundsEnd | None, now: datetime, *, runs: bool) -> Account:
    """Return the account with the end of its funds set; `runs`: whether any session runs. A shortage of the balance is
    another than one of a budget."""
    by = end.by if end else account.funds_end_by
    return replace(
        account,
        funds_end_at=end.at if end else None,
        funds_session_id=end.session_id if end else None,
        funds_end_by=by,
        warned_seconds=account.warned_seconds if by is account.funds_end_by else None,
        next_charge_at=(account.next_charge_at or now + POST_EVERY) if runs else None,
    )


def lasting(account: Account, until: datetime | None, now: datetime, *, runs: bool) -> Account:
    """Return the account with funds that last beyond `until`, perhaps only just; None: for ever."""
    known = with_funds(account, None, now, runs=runs)
    return replace(known, funds_end_at=until)


def is_far(until: datetime | None, policy: Policy, now: datetime) -> bool:
    """Return whether this lower bound of the funds' end is precise enough, as no stop and no warning comes before it.
    None: for ever."""
    return until is None or until - now > _first_warning(policy)


def charged_up_to(account: Account) -> str:
    """Return the id of the session after which an hourly posting that has begun continues; empty: from the first."""
    begun = account.charging_since is not None and account.charging_since == account.next_charge_at
    return account.charged_up_to or "" if begun else ""


def charging(account: Account, last: str) -> Account:
    """Return the account with its hourly posting done up to this session."""
    return replace(account, charging_since=account.next_charge_at, charged_up_to=last)


def charged(account: Account, now: datetime) -> Account:
    """Return the account with its hourly posting done."""
    return replace(account, next_charge_at=now + POST_EVERY, charging_since=None, charged_up_to=None)


def burning(session: Costly) -> State | None:
    """Return the state as far as money is concerned: RUNNING; STARTING while it moves to its next placement, and will
    cost money again; None: it costs none."""
    moves = session.state is State.STARTING and session.ever_ran
    return session.state if moves or session.state is State.RUNNING else None


def plan_account(account: Account, policy: Policy, now: datetime, *, moving: bool) -> Account:
    """Return the account with its warnings noted and its one next step. `moving`: a session of it may be between two
    placements."""
    account, warn_at = _with_warning(account, policy, now, moving=moving)
    wanted = (
        (Step.FUNDS, account.funds_end_at),
        (Step.FUNDS, _next_period(account, now)),
        (Step.FUNDS, warn_at),
        (Step.CHARGE, account.next_charge_at),
    )
    first = min(((at, step) for step, at in wanted if at is not None), default=None)
    return replace(account, due=Due(first[1], first[0]) if first else None)


def _next_period(account: Account, now: datetime) -> datetime | None:
    """Return when a budget with a hard stop begins again; None if nothing runs, or no budget stops it."""
    return None if account.next_charge_at is None else next_period(account.budgets, now)


def _with_warning(
    account: Account, policy: Policy, now: datetime, *, moving: bool
) -> tuple[Account, datetime | None]:
    """Warn once for each threshold of a shortage. A shortage ends when the funds last beyond the first threshold. It
    does not end because a session that moves costs nothing for a moment."""
    end, thresholds = account.funds_end_at, policy.warn_before_stop_seconds
    first = _first_warning(policy)
    if end is None or not thresholds or end - now > first:
        begins = end - first if end is not None and thresholds else None
        return account if moving else replace(account, warned_seconds=None), begins
    warning = next_warning(end, account.warned_seconds, policy, now)
    if warning is not None and warning[0] <= now:
        account = replace(account, warned_seconds=warning[1])
        warning = next_warning(end, account.warned_seconds, policy, now)
    return account, warning[0] if warning else None


def _first_warning(policy: Policy) -> timedelta:
    return timedelta(seconds=max(policy.warn_before_stop_seconds, default=0))
