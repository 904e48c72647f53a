"""The installation as operators read it: what waits, what alarms, and what the audit found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orchestrator.flows.reports.provider_reports import of_alarm
from orchestrator.rules.audit.invariants import MEANING, Invariant
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import Session
from orchestrator.store.transaction import Transaction

#: At most this many violations are listed, the others counted.
MOST_VIOLATIONS = 1_000


def alarms(tx: Transaction) -> dict[str, Any]:
    """Return every open alarm: about providers and their keys, and about the installation."""
    return {
        "providers": [{"provider": one.provider, **of_alarm(one)} for one in tx.alarms.listed()],
        "installation": [
            {
                "kind": one.kind,
                "about": one.about,
                "since": rfc3339(one.since),
                "seen_at": rfc3339(one.seen_at),
                "times_seen": one.times_seen,
                "reason": one.reason,
            }
            for one in tx.installation_alarms.listed()
        ],
    }


def audit(tx: Transaction) -> dict[str, Any]:
    """Return what the last run of the audit found and is still open."""
    counts = tx.findings.counts()
    return {
        "ok": not counts,
        "checked_at": rfc3339(tx.findings.last_run()),
        "checks": [
            {"check": one.value, "meaning": MEANING[one], "violations": counts.get(one.value, 0)}
            for one in Invariant
        ],
        "violations": [
            {
                "check": one.finding.check.value,
                "subject": one.finding.subject,
                "detail": one.finding.detail,
                "since": rfc3339(one.since),
            }
            for one in tx.findings.standing(MOST_VIOLATIONS)
        ],
    }


def queue(tx: Transaction, sessions: Sequence[Session], now: datetime) -> list[dict[str, Any]]:
    """Return queued sessions with what each waits for, and since when."""
    return [
        {
            "session_id": one.id,
            "account_id": one.account_id,
            "name": one.name,
            "model_id": one.model_id,
            "nodes": one.nodes,
            "position": tx.queues.position(one),
            "waits_for": one.queue_reason,
            "queued_at": rfc3339(one.queued_at),
            "waited_seconds": int((now - (one.queued_at or one.created_at)).total_seconds()),
            "deadline_at": rfc3339(one.queue_deadline_at),
        }
        for one in sessions
    ]
