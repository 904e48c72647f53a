"""One transaction, with every family of named queries, and the wake-ups that its commit sends."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from orchestrator.rules.states import Step
from orchestrator.store.core.identity import Identity
from orchestrator.store.queries.accounts import Accounts
from orchestrator.store.queries.ahead import Ahead
from orchestrator.store.queries.alarms import Alarms
from orchestrator.store.queries.archive import Archive
from orchestrator.store.queries.audit import Audit
from orchestrator.store.queries.audit_findings import Findings
from orchestrator.store.queries.audit_live import LiveAudit
from orchestrator.store.queries.brakes import Brakes
from orchestrator.store.queries.charges import Charges
from orchestrator.store.queries.claims import Claims
from orchestrator.store.queries.clock import ClockRows
from orchestrator.store.queries.contacts import Contacts
from orchestrator.store.queries.credentials import Credentials
from orchestrator.store.queries.due import Due
from orchestrator.store.queries.groups import Groups
from orchestrator.store.queries.inbox import Inbox
from orchestrator.store.queries.installation import Installation
from orchestrator.store.queries.installation_alarms import InstallationAlarms
from orchestrator.store.queries.leases import Leases
from orchestrator.store.queries.ledger import Ledger
from orchestrator.store.queries.leftovers import Leftovers
from orchestrator.store.queries.meters import Meters
from orchestrator.store.queries.models import Models
from orchestrator.store.queries.newcomers import Newcomers
from orchestrator.store.queries.outbox import Outbox
from orchestrator.store.queries.parked import Parked
from orchestrator.store.queries.pings import Pings
from orchestrator.store.queries.placements import Placements
from orchestrator.store.queries.queues import Queues
from orchestrator.store.queries.retention import Retention
from orchestrator.store.queries.sessions import Sessions
from orchestrator.store.queries.sightings import Sightings
from orchestrator.store.queries.waits import Waits
from orchestrator.store.queries.workers import Workers


class Transaction:
    """Locks are taken in one order everywhere: account, session, placement, credential."""

    _now: datetime | None = None

    def __init__(
        self, connection: Connection, clock: Callable[[], datetime], identity: Identity | None = None
    ) -> None:
        self.connection, self._clock = connection, clock
        self.identity = identity or Identity()
        self.installation = Installation(connection, self.identity)
        self.due: set[Step] = set()
        self.outbox = Outbox(connection, self._decided_at, self.identity)
        self.sessions = Sessions(connection, self.outbox, self.due)
        self.newcomers = Newcomers(connection)
        self.groups = Groups(connection)
        self.charges = Charges(connection, self.outbox)
        self.due_work = Due(connection)
        self.queues = Queues(connection, self.due)
        self.pings = Pings(connection)
        self.placements = Placements(connection, self.outbox, self.due)
        self.claims = Claims(connection)
        self.leftovers = Leftovers(connection)
        self.sightings = Sightings(connection)
        self.accounts = Accounts(connection, self.outbox, self.due)
        self.credentials = Credentials(connection)
        self.contacts = Contacts(connection)
        self.models = Models(connection)
        self.ledger = Ledger(connection)
        self.inbox = Inbox(connection)
        self.parked = Parked(connection)
        self.leases = Leases(connection)
        self.clock = ClockRows(connection)
        self.ahead = Ahead(connection)
        self.brakes = Brakes(connection)
        self.alarms = Alarms(connection)
        self.installation_alarms = InstallationAlarms(connection)
        self.waits = Waits(connection)
        self.workers = Workers(connection)
        self.meters = Meters(connection)
        self.retention = Retention(connection)
        self.archive = Archive(connection)
        self.audit = Audit(connection)
        self.live_audit = LiveAudit(connection)
        self.findings = Findings(connection)

    def now(self) -> datetime:
        """Read the store's clock. Read it once, after the locks, and pass it on: later events bear this time."""
        self._now = self._clock()
        return self._now

    def flush(self) -> None:
        """Write the collected events, in one statement at the end."""
        self.outbox.flush()

    def _decided_at(self) -> datetime:
        """Return the instant on which this transaction decides: the last that it read."""
        return self._now or self.now()
