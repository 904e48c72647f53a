"""The tables. Importing this package registers all of them with `metadata`.

base                                  names of constraints
sessions, placements                  sessions and the attempts to serve them
money                                 accounts and the ledger
counts, groups                        sums that triggers keep
catalog                               models, credentials, brakes, meters, the installation
messages                              inbox, outbox, leases, parked messages
alarms, contacts, clock, workers      alarms, reachability, the clock, processes
audit                                 cursors and findings of the audit
archive, archive_triggers             archived sessions and ledger entries
"""

from orchestrator.store.tables.alarms import AlarmRow, InstallationAlarmRow, ModelWaitRow, WaitRow
from orchestrator.store.tables.archive import ArchivedBookRow, ArchivedLedgerRow, ArchivedSessionRow
from orchestrator.store.tables.audit import AuditBalanceRow, AuditCursorRow, AuditFindingRow
from orchestrator.store.tables.base import metadata
from orchestrator.store.tables.catalog import (
    BrakeRow,
    CredentialRow,
    InstallationRow,
    MeterRow,
    ModelRow,
    SightingRow,
)
from orchestrator.store.tables.clock import ClockRow
from orchestrator.store.tables.contacts import ContactRow
from orchestrator.store.tables.counts import SessionCountRow
from orchestrator.store.tables.groups import SessionGroupRow
from orchestrator.store.tables.messages import InboxRow, LeaseRow, OutboxRow, ParkedRow
from orchestrator.store.tables.money import AccountRow, LedgerRow
from orchestrator.store.tables.placements import PlacementRow
from orchestrator.store.tables.sessions import SessionRow
from orchestrator.store.tables.workers import WorkerRow

__all__ = [
    "AccountRow",
    "AlarmRow",
    "ArchivedBookRow",
    "ArchivedLedgerRow",
    "ArchivedSessionRow",
    "AuditBalanceRow",
    "AuditCursorRow",
    "AuditFindingRow",
    "BrakeRow",
    "ClockRow",
    "ContactRow",
    "CredentialRow",
    "InboxRow",
    "InstallationAlarmRow",
    "InstallationRow",
    "LeaseRow",
    "LedgerRow",
    "MeterRow",
    "ModelRow",
    "ModelWaitRow",
    "OutboxRow",
    "ParkedRow",
    "PlacementRow",
    "SessionCountRow",
    "SessionGroupRow",
    "SessionRow",
    "SightingRow",
    "WaitRow",
    "WorkerRow",
    "metadata",
]
