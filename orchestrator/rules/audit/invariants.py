"""The invariants of the stored rows, which hold after any failure: each check finds its violations; a healthy store has
none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from orchestrator.rules.audit.wait_limits import WaitLimits
from orchestrator.rules.billing.groups import Group
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.events import PREFIX, Event
from orchestrator.rules.installation.retention import ArchivedBook
from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import ZERO, Account, Due, Lease, Plan, Session


class Invariant(StrEnum):
    """What is checked; also the label of the metric."""

    STEPS = "steps"
    OVERDUE = "overdue"
    LEASES = "leases"
    TRANSITIONS = "transitions"
    SERVING = "serving"
    CREDENTIALS = "credentials"
    LEAKS = "leaks"
    PROOFS = "proofs"
    FORCED = "forced"
    DELETED = "deleted"
    QUOTA = "quota"
    BALANCE = "balance"
    POSTED = "posted"
    COST = "cost"
    PAID = "paid"
    ALIVE = "alive"
    FUNDS = "funds"
    OUTBOX = "outbox"
    SCHEDULER = "scheduler"
    WRITTEN_OFF = "written_off"
    ROWS = "rows"
    COUNTS = "counts"
    ARCHIVE = "archive"
    DAILY_COSTS = "daily_costs"


MEANING: Mapping[Invariant, str] = MappingProxyType(
    {
        Invariant.STEPS: (
            "every live row has a next step within the wait limit of its kind, and the stop that its rules give"
        ),
        Invariant.OVERDUE: "no step is overdue for long",
        Invariant.LEASES: "no lease has expired without a take-over, is too long, or is on a row without a next step",
        Invariant.TRANSITIONS: "every state that an event reports follows from the one before; the last is the row's",
        Invariant.SERVING: "a session has at most one placement that is not closing",
        Invariant.CREDENTIALS: "an exclusive credential carries at most one unclosed placement",
        Invariant.LEAKS: "a session that is over has only ended placements",
        Invariant.PROOFS: "every closed placement has its proof",
        Invariant.FORCED: "every close that was forced has a name and a reason",
        Invariant.DELETED: "a deleted session is over or never began",
        Invariant.QUOTA: "every session was admitted within the quota of its time, cleanup debt apart",
        Invariant.BALANCE: "a balance equals the sum of its ledger, and is not below the overdraft of its last charge",
        Invariant.POSTED: "a session's charged amount equals the sum of its ledger entries",
        Invariant.COST: "a session was charged what the formula says",
        Invariant.PAID: "a session found dead after a hold pays until its last proof of life, and no longer",
        Invariant.ALIVE: "every running session gave a proof of life within the time that verdicts and a hold allow",
        Invariant.FUNDS: "an account's funds end when the formula says",
        Invariant.OUTBOX: "events are delivered soon",
        Invariant.SCHEDULER: "a scheduler sends wake-ups",
        Invariant.WRITTEN_OFF: "nothing was written off in the last day",
        Invariant.ROWS: "every row can be read",
        Invariant.COUNTS: "the database's counts of sessions, and of what running ones cost, are right",
        Invariant.ARCHIVE: "rows are archived unchanged, and an opening entry carries their sum in the ledger",
        Invariant.DAILY_COSTS: "a day's costs by account, model and provider equal the sums of its ledger entries",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """`[audit]` of the configuration: how late is too late, in seconds."""

    overdue_after_seconds: float = 600
    outbox_after_seconds: float = 300
    scheduler_after_seconds: float = 60
    charge_slack_seconds: float = 900
    """How late an hourly posting may be."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation: which check, which subject, and what is wrong."""

    check: Invariant
    subject: str
    detail: str

    @property
    def key(self) -> tuple[Invariant, str]:
        """The check and the subject: a check counts each subject once."""
        return self.check, self.subject


@dataclass(frozen=True, kw_only=True, slots=True)
class StateEvent:
    """A session's state as one event reports it."""

    seq: int
    kind: str
    previous: str | None
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementFacts:
    """The fields of a placement that are checked."""

    id: str
    session_id: str | None
    provider: str
    state: PlacementState
    proof: str | None
    declared_end_at: datetime | None = None
    due: Due | None
    lease: Lease | None
    forced_at: datetime | None = None
    forced_by: str | None = None
    forced_why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFacts:
    """A session with its related rows, read at one moment."""

    session: Session
    placements: Sequence[PlacementFacts] = ()
    posted: Decimal = ZERO
    postings: int = 0
    events: Sequence[StateEvent] = ()
    """Its saved events, in their order."""
    found_by_step: bool = True
    """Whether the table that claims look into has the session's next step as its own row has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """When a session that counts was created and admitted, and under which limits (`Session.admitted_under`)."""

    created_at: datetime
    admitted_at: datetime | None
    """None if it neither starts, runs nor stops."""
    under: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRest:
    """How many sessions of an account wait for nothing, by state and provider."""

    counted: Mapping[str, int]
    """The database's own count, updated with each change."""
    there: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedMoney:
    """What left an account's ledger, the entries that replace it there, and what the archive holds of it."""

    books: Sequence[ArchivedBook] = ()
    """The database's sums of the entries that left."""
    openings: Mapping[str, Sequence[Decimal]] = field(default_factory=dict)
    """Book → amounts that the opening entries add to the account's book."""
    kept: Mapping[str, tuple[Decimal, int]] | None = None
    """Book → sum and number of the entries in the archive; None if they were not read."""
    unknown: Sequence[str] = ()
    """Sessions that have entries in the archive, but are not in it themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountFacts:
    """An account with its related rows, read at one moment."""

    account: Account
    posted: Decimal
    """The sum of its ledger."""
    plan: Plan
    """The plan, overridden by the account's own limits."""
    hard_stops: Sequence[FundsLimit] = ()
    """What its budgets with a hard stop leave; empty, too, where one of their periods has yet to begin."""
    active: Sequence[Session] | None = None
    """Its starting and running sessions; None if there are too many to be read."""
    total: int | None = None
    concurrent: int | None = None
    nodes: int | None = None
    """The nodes of its concurrent sessions, together; None if its plan has no quota."""
    admissions: Sequence[Admission] = ()
    """The admissions of its sessions, read only if they exceed what its plan allows now."""
    at_rest: AtRest | None = None
    """None if there are too many to be counted each minute: a full audit counts them."""
    groups: Sequence[Group] | None = None
    """The database's groups of its starting and running sessions; None if they were not read."""
    archived: ArchivedMoney = ArchivedMoney()


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditContext:
    """The time of the audit, and what counts as late then."""

    at: datetime
    thresholds: Thresholds
    longest_lease: timedelta
    wait_limits: Callable[[str | None], WaitLimits]
    """The wait limits at each provider; None: of rows without a provider."""
    events_since: datetime | None
    """Events from before this time were deleted; a session created later has all of its own. None: none was deleted."""


def turned(
    before: Mapping[str, int], after: Mapping[str, int], found: Sequence[Violation]
) -> Iterator[Event]:
    """Yield an event for each check that now has violations, or no longer has any. Both mappings count violations by
    check."""
    for check in Invariant:
        if bool(before.get(check)) == bool(after.get(check)):
            continue
        examples = [{"subject": f.subject, "detail": f.detail} for f in found if f.check is check]
        data = {
            "check": check.value,
            "meaning": MEANING[check],
            "violations": after.get(check, 0),
            "examples": examples[:5],
        }
        kind = "violated" if after.get(check) else "healed"
        yield Event(type=f"{PREFIX}.audit.{kind}", subject=check.value, data=data)
