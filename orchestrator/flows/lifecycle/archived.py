"""Sessions that have left the live tables, for jobs and people. They have ended, and can be deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.flows.reports.views import SESSION_KEYS, SessionView, as_text
from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation.retention import deleted_event
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import ArchivedSession, Placement
from orchestrator.store.queries.archive_records import placements_in, session_in
from orchestrator.store.transaction import Transaction


def view(tombstone: ArchivedSession, now: datetime) -> dict[str, Any]:
    """Return the session as it was. If its record was deleted, fields that are no longer known are null."""
    archived = {
        "deleted_at": rfc3339(tombstone.deleted_at),
        "archived_at": rfc3339(tombstone.archived_at),
    }
    if tombstone.record is None:
        return _remains(tombstone) | archived
    session = SessionView(
        session=session_in(tombstone.record),
        placements=placements_in(tombstone.record),
        account=None,
        queue_position=None,
        now=now,
    )
    return session.as_json() | archived


def shown(
    tx: Transaction, session_id: str, now: datetime
) -> tuple[dict[str, Any], Sequence[Placement]] | None:
    """Return an archived session and its placements; None if there is none."""
    tombstone = tx.archive.get(session_id)
    if tombstone is None:
        return None
    record = tombstone.record
    return view(tombstone, now), () if record is None else placements_in(record)


def lock(services: Services, tx: Transaction, session_id: str) -> tuple[AccountWork, ArchivedSession] | None:
    """Return an archived session that is not deleted, locked after its account; None if there is none."""
    known = tx.archive.get(session_id)
    work = on_account(services, tx, known.account_id) if known is not None else None
    found = tx.archive.lock(session_id) if work is not None else None
    if work is None or found is None or found.deleted_at is not None:
        return None
    return work, found


def delete(services: Services, tx: Transaction, session_id: str) -> Mapping[str, Any] | None:
    """Delete an archived session, which frees its place and name; None if there is none."""
    found = lock(services, tx, session_id)
    if found is None:
        return None
    work, tombstone = found
    tx.archive.mark_deleted([session_id], work.now)
    tx.outbox.add([deleted_event(tombstone)])
    work.note_freed_capacity()
    work.finish()
    return view(replace(tombstone, deleted_at=work.now), work.now)


def refusal(tombstone: ArchivedSession) -> Refusal:
    """Return the refusal for an archived session."""
    message = (
        f"session {tombstone.id} is {tombstone.state.value} and was archived at {rfc3339(tombstone.archived_at)}:"
        " it can only be shown or deleted"
    )
    return Refusal(
        ErrorCode.INVALID_STATE,
        message,
        session_id=tombstone.id,
        state=tombstone.state.value,
        archived_at=rfc3339(tombstone.archived_at),
    )


def _remains(tombstone: ArchivedSession) -> dict[str, Any]:
    known = {
        "id": tombstone.id,
        "account_id": tombstone.account_id,
        "name": tombstone.name,
        "state": tombstone.state.value,
        "stop_reason": tombstone.stop_reason,
        "created_at": rfc3339(tombstone.created_at),
        "ended_at": rfc3339(tombstone.ended_at),
        "provider": tombstone.provider,
        "cost": as_text(tombstone.charged),
        "currency": tombstone.currency,
    }
    return dict.fromkeys(SESSION_KEYS) | {"forced_closes": [], "metadata": {}} | known
