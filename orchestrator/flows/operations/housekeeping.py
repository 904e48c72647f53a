"""Delete old outcomes of jobs and delivered events, in short batches."""

from datetime import timedelta

from orchestrator.flows.engine.batch import until_done
from orchestrator.flows.engine.services import Services
from orchestrator.rules.installation.retention import KEEP_OUTCOMES
from orchestrator.store.queries.audit_findings import EVENTS_SINCE
from orchestrator.store.transaction import Transaction


def forget_old_outcomes(services: Services) -> int:
    """Delete the outcomes of jobs that are older than promised, in batches, until none is left."""

    def forget(tx: Transaction) -> int:
        return tx.inbox.forget_before(tx.now() - KEEP_OUTCOMES)

    return until_done(services, forget)


def forget_old_events(services: Services) -> int:
    """Delete delivered events after their retention, and save up to when: the audit needs that instant. Delete what
    webhooks did not take, as long after it was given up."""
    kept = timedelta(days=services.config.retention.events_days)
    until_done(services, lambda tx: tx.webhooks.forget_dead(tx.now() - kept))

    def forget(tx: Transaction) -> int:
        now = tx.now()
        times = tx.outbox.forget_before(now - kept)
        if times:
            known = tx.findings.events_since()
            tx.findings.move({EVENTS_SINCE: max((*times, *([known] if known else ()))).isoformat()}, now)
        return len(times)

    return until_done(services, forget)
