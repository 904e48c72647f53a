"""One transaction, with every family of named queries, and the wake-ups that its commit sends."""

from __future__ import annotations  # the families are imported when they are used

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import Connection

from orchestrator.rules.states import Step
from orchestrator.store.queries.clock import ConnectionClock
from orchestrator.store.queries.identity import Identity

if TYPE_CHECKING:
    from orchestrator.rules.values import Account
    from orchestrator.store.core.gathering import Gathering
    from orchestrator.store.queries.accounts import Accounts, ManyAccounts
    from orchestrator.store.queries.ahead import Ahead
    from orchestrator.store.queries.alarms import Alarms, InstallationAlarms
    from orchestrator.store.queries.archive import Archive
    from orchestrator.store.queries.audit import Audit
    from orchestrator.store.queries.audit_costs import CostAudit
    from orchestrator.store.queries.audit_findings import Findings
    from orchestrator.store.queries.audit_live import LiveAudit
    from orchestrator.store.queries.brakes import Brakes
    from orchestrator.store.queries.charge_entries import ChargeEntries
    from orchestrator.store.queries.charges import Charges
    from orchestrator.store.queries.claims import Claims
    from orchestrator.store.queries.clock import ClockRows
    from orchestrator.store.queries.contacts import Contacts
    from orchestrator.store.queries.costs import Costs
    from orchestrator.store.queries.credentials import Credentials
    from orchestrator.store.queries.due import DueWork
    from orchestrator.store.queries.groups import Groups
    from orchestrator.store.queries.identity import Installation
    from orchestrator.store.queries.inbox import Inbox
    from orchestrator.store.queries.leases import Leases
    from orchestrator.store.queries.ledger import Ledger
    from orchestrator.store.queries.leftovers import Leftovers
    from orchestrator.store.queries.lookups import Lookups
    from orchestrator.store.queries.meters import Meters, Minutes
    from orchestrator.store.queries.models import Models
    from orchestrator.store.queries.newcomers import Newcomers
    from orchestrator.store.queries.observations import ReconcileObservations
    from orchestrator.store.queries.outbox import Outbox
    from orchestrator.store.queries.pages import Pages
    from orchestrator.store.queries.parked import Parked
    from orchestrator.store.queries.pings import Pings
    from orchestrator.store.queries.placements import Placements
    from orchestrator.store.queries.queues import Queues
    from orchestrator.store.queries.rate_limits import RateLimits
    from orchestrator.store.queries.recent import Recent
    from orchestrator.store.queries.recordings import Recordings
    from orchestrator.store.queries.retention import Retention
    from orchestrator.store.queries.sessions import Sessions
    from orchestrator.store.queries.tokens import Tokens
    from orchestrator.store.queries.webhooks import Webhooks
    from orchestrator.store.queries.workers import Workers

Q = TypeVar("Q")


class Family(Generic[Q]):
    """A family of queries of a transaction. It is imported and built when it is first used: a command that lists
    sessions needs few of them."""

    def __init__(self, place: str, *given: str) -> None:
        """`place`: its module and its class; `given`: attributes of the transaction that it takes."""
        self._place, self._given = place, given
        self._build: Callable[..., Q] | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tx: Transaction, owner: type) -> Q:
        if self._build is None:  # kept, as a create uses eight families
            module, _, kind = self._place.rpartition(".")
            self._build = getattr(import_module(f".{module}", "orchestrator.store.queries"), kind)
        family: Q = self._build(tx.connection, *(getattr(tx, name) for name in self._given))
        vars(tx)[self._name] = family
        return family


class Transaction:
    """Locks are taken in one order everywhere: account, session, placement, credential.

    Each family of queries takes the connection, and the attributes that are named here."""

    installation: Family[Installation] = Family("identity.Installation", "identity")
    sessions: Family[Sessions] = Family("sessions.Sessions", "_writes", "outbox", "due")
    newcomers: Family[Newcomers] = Family("newcomers.Newcomers")
    recordings: Family[Recordings] = Family("recordings.Recordings", "outbox")
    groups: Family[Groups] = Family("groups.Groups")
    charges: Family[Charges] = Family("charges.Charges", "outbox")
    due_work: Family[DueWork] = Family("due.DueWork")
    queues: Family[Queues] = Family("queues.Queues", "due")
    pings: Family[Pings] = Family("pings.Pings")
    placements: Family[Placements] = Family("placements.Placements", "_writes", "outbox", "due")
    claims: Family[Claims] = Family("claims.Claims")
    leftovers: Family[Leftovers] = Family("leftovers.Leftovers")
    observations: Family[ReconcileObservations] = Family("observations.ReconcileObservations")
    accounts: Family[Accounts] = Family("accounts.Accounts", "_writes", "outbox", "due")
    many_accounts: Family[ManyAccounts] = Family("accounts.ManyAccounts", "_writes")
    credentials: Family[Credentials] = Family("credentials.Credentials")
    contacts: Family[Contacts] = Family("contacts.Contacts")
    charge_entries: Family[ChargeEntries] = Family("charge_entries.ChargeEntries")
    costs: Family[Costs] = Family("costs.Costs")
    models: Family[Models] = Family("models.Models")
    ledger: Family[Ledger] = Family("ledger.Ledger", "_writes")
    inbox: Family[Inbox] = Family("inbox.Inbox", "_writes")
    pages: Family[Pages] = Family("pages.Pages")
    recent: Family[Recent] = Family("recent.Recent")
    lookups: Family[Lookups] = Family("lookups.Lookups")
    parked: Family[Parked] = Family("parked.Parked")
    leases: Family[Leases] = Family("leases.Leases")
    clock: Family[ClockRows] = Family("clock.ClockRows")
    ahead: Family[Ahead] = Family("ahead.Ahead")
    brakes: Family[Brakes] = Family("brakes.Brakes")
    alarms: Family[Alarms] = Family("alarms.Alarms")
    installation_alarms: Family[InstallationAlarms] = Family("alarms.InstallationAlarms")
    rate_limits: Family[RateLimits] = Family("rate_limits.RateLimits")
    workers: Family[Workers] = Family("workers.Workers")
    tokens: Family[Tokens] = Family("tokens.Tokens")
    meters: Family[Meters] = Family("meters.Meters")
    retention: Family[Retention] = Family("retention.Retention")
    archive: Family[Archive] = Family("archive.Archive")
    audit: Family[Audit] = Family("audit.Audit")
    cost_audit: Family[CostAudit] = Family("audit_costs.CostAudit")
    live_audit: Family[LiveAudit] = Family("audit_live.LiveAudit")
    findings: Family[Findings] = Family("audit_findings.Findings")
    minutes: Family[Minutes] = Family("meters.Minutes")
    webhooks: Family[Webhooks] = Family("webhooks.Webhooks")

    _writes: Family[Gathering] = Family(".core.gathering.Gathering")
    outbox: Family[Outbox] = Family("outbox.Outbox", "_writes", "_decided_at", "identity")
    _now: datetime | None = None

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], datetime],
        identity: Identity | None = None,
        lately: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self.connection, self._clock, self._lately = connection, clock, lately
        self.identity = identity or Identity()
        self.due: set[Step] = set()

    def now(self) -> datetime:
        """Read the store's clock. Read it once, after the locks, and pass it on: later events bear this time."""
        self._now = self._clock()
        return self._now

    def lock_account(self, account_id: str) -> tuple[Account, datetime] | None:
        """Lock an account that no other transaction holds, and read the clock after that, in one statement. Return None
        where another holds it, or there is none."""
        trusted = self._clock.begin_reading() if isinstance(self._clock, ConnectionClock) else None
        if trusted is None:
            account = self.accounts.lock(account_id, waits=False)
            return None if account is None else (account, self.now())
        locked = self.accounts.lock_and_read_clock(account_id)
        if locked is None:
            return None
        self._now = trusted(locked[1])
        return locked[0], self._now

    def arrived(self) -> datetime:
        """Return the time as this process measures it, for what only records when something came in: no statement, and
        no decision."""
        return self._lately() or self._clock()

    def flush(self) -> None:
        """Write the collected events and what was gathered, in one statement at the end. Raises AlreadyThere, and
        ChangedMeanwhile."""
        if "outbox" in vars(self):  # else no event was collected
            self.outbox.flush()
        if "_writes" in vars(self):  # else nothing was written
            self._writes.write()

    def gather(self) -> None:
        """Gather the changes that are made from now on, and write them at the end: on PostgreSQL in one statement."""
        self._writes.gather()

    def together(self) -> AbstractContextManager[None]:
        """Gather the changes of locked rows made within it, and write them in few statements at its end."""
        return self._writes.together()

    def _decided_at(self) -> datetime:
        """Return the instant on which this transaction decides: the last that it read."""
        return self._now or self.now()


#: A condition on rows, checked under the locks of the change that follows. Raises what the caller gets if it fails.
Precondition = Callable[[Transaction], None]
