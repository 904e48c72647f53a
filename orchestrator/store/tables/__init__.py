"""The tables. Importing `metadata` from here registers all of them with it.

base                                  names of constraints
sessions, placements                  sessions and the attempts to serve them
money                                 accounts and the ledger
counts, groups, costs                 sums that triggers keep
next_steps                            what is due of sessions, kept by triggers
catalog                               models, credentials, brakes, meters, reconcile observations, the installation
messages                              inbox, outbox, leases, parked messages
alarms, contacts, clock, workers      alarms and rate limits, reachability, the clock, processes
tokens                                tokens of the HTTP API
minutes                               what happened minute by minute
webhooks                              receivers of events, and what did not arrive there
audit                                 cursors and findings of the audit
archive, archive_triggers             archived sessions and ledger entries
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

if TYPE_CHECKING:
    from orchestrator.store.tables.alarms import AlarmRow, InstallationAlarmRow, ModelWaitRow, WaitRow
    from orchestrator.store.tables.archive import ArchivedBookRow, ArchivedLedgerRow, ArchivedSessionRow
    from orchestrator.store.tables.audit import AuditBalanceRow, AuditCursorRow, AuditFindingRow
    from orchestrator.store.tables.catalog import (
        BrakeRow,
        CredentialRow,
        InstallationRow,
        MeterRow,
        ModelRow,
        ReconcileObservationRow,
    )
    from orchestrator.store.tables.clock import ClockRow
    from orchestrator.store.tables.contacts import ContactRow
    from orchestrator.store.tables.costs import DailyCostRow
    from orchestrator.store.tables.counts import SessionCountRow
    from orchestrator.store.tables.groups import SessionGroupRow
    from orchestrator.store.tables.messages import InboxRow, LeaseRow, OutboxRow, ParkedRow
    from orchestrator.store.tables.minutes import MinuteRow
    from orchestrator.store.tables.money import AccountRow, LedgerRow
    from orchestrator.store.tables.next_steps import NextStepRow
    from orchestrator.store.tables.placements import PlacementRow
    from orchestrator.store.tables.sessions import SessionRow
    from orchestrator.store.tables.tokens import TokenRow
    from orchestrator.store.tables.webhooks import DeliveryRow, WebhookRow
    from orchestrator.store.tables.workers import WorkerRow

    metadata: MetaData

#: Where each table is. It is imported when it is used: a command that lists sessions needs a few of them.
_PLACES = MappingProxyType(
    {
        "AccountRow": "money",
        "AlarmRow": "alarms",
        "ArchivedBookRow": "archive",
        "ArchivedLedgerRow": "archive",
        "ArchivedSessionRow": "archive",
        "AuditBalanceRow": "audit",
        "AuditCursorRow": "audit",
        "AuditFindingRow": "audit",
        "BrakeRow": "catalog",
        "ClockRow": "clock",
        "ContactRow": "contacts",
        "CredentialRow": "catalog",
        "DailyCostRow": "costs",
        "DeliveryRow": "webhooks",
        "InboxRow": "messages",
        "InstallationAlarmRow": "alarms",
        "InstallationRow": "catalog",
        "LeaseRow": "messages",
        "LedgerRow": "money",
        "MeterRow": "catalog",
        "MinuteRow": "minutes",
        "ModelRow": "catalog",
        "ModelWaitRow": "alarms",
        "NextStepRow": "next_steps",
        "OutboxRow": "messages",
        "ParkedRow": "messages",
        "PlacementRow": "placements",
        "SessionCountRow": "counts",
        "SessionGroupRow": "groups",
        "SessionRow": "sessions",
        "ReconcileObservationRow": "catalog",
        "TokenRow": "tokens",
        "WaitRow": "alarms",
        "WebhookRow": "webhooks",
        "WorkerRow": "workers",
    }
)

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
    "DailyCostRow",
    "DeliveryRow",
    "InboxRow",
    "InstallationAlarmRow",
    "InstallationRow",
    "LeaseRow",
    "LedgerRow",
    "MeterRow",
    "MinuteRow",
    "ModelRow",
    "ModelWaitRow",
    "NextStepRow",
    "OutboxRow",
    "ParkedRow",
    "PlacementRow",
    "ReconcileObservationRow",
    "SessionCountRow",
    "SessionGroupRow",
    "SessionRow",
    "TokenRow",
    "WaitRow",
    "WebhookRow",
    "WorkerRow",
    "metadata",
]


def __getattr__(name: str) -> Any:
    if name == "metadata":
        return _metadata()
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def _metadata() -> MetaData:
    """Return what all tables are registered with, when they are."""
    for module in set(_PLACES.values()):
        import_module(f"{__name__}.{module}")
    return import_module(f"{__name__}.base").metadata  # type: ignore[no-any-return]
