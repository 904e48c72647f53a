"""Deliver events from the outbox: at least once, in order, by one worker at a time."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.leases import given_back
from orchestrator.flows.engine.services import Services
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.observability import metrics
from orchestrator.store.queries.outbox import WaitingEvent
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: The lease under which one worker delivers; longer than one batch takes.
LEASE, LEASE_SECONDS = "deliver_events", 30.0
BATCH = 500
_ENDS = frozenset({"orchestrator.session.stopped", "orchestrator.session.failed"})


class Sink(Protocol):
    """A destination of events."""

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Deliver all, in order, or raise. Events delivered before a raise may be sent again."""


class LogSink:
    """Log and count each event once it is committed, as an operator's record."""

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            data = event["data"]
            why = data.get("stop_reason") or data.get("last_answer") or ""
            log.info("%s %s %s", event["type"], event["subject"], why)
            if event["type"] in _ENDS:
                metrics.STOPS.labels(data.get("stop_reason")).inc()


def with_the_log(sink: Sink | None) -> Sequence[Sink]:
    """Return that sink and then the log. A batch that the sink refuses is retried and not logged yet, so each event is
    logged, and each stop counted, once."""
    return (sink, LogSink()) if sink is not None else (LogSink(),)


def deliver_events(services: Services, sinks: Sequence[Sink]) -> Tally:
    """Deliver batches until the outbox is empty, or while no other worker delivers. Each batch goes to the sinks in
    their order; a sink that raises keeps it from those after it."""
    holder = services.database.identity.new_token()
    delivered, batch = 0, _take_next(services, holder, ())
    with given_back(services, LEASE, holder):  # a sink that raises must not keep other workers from trying
        while batch:
            events = [cloud_event(event) for event in batch]
            for sink in sinks:
                sink.send(events)
            delivered += len(batch)
            batch = _take_next(services, holder, batch)
    return Tally(claimed=delivered, settled=delivered)


def _take_next(services: Services, holder: str, sent: Sequence[WaitingEvent]) -> Sequence[WaitingEvent]:
    """Mark the events that were sent as delivered, and return the next batch, in one transaction. It is empty after a
    batch that was not full, while another worker delivers, and when this process leaves."""

    def take(tx: Transaction) -> Sequence[WaitingEvent]:
        now = tx.now()
        if sent:
            tx.outbox.mark_delivered([event.seq for event in sent], now)
        if (
            0 < len(sent) < BATCH
            or services.slots.closed
            or not tx.leases.hold(LEASE, holder, now, LEASE_SECONDS)
        ):
            return ()
        return tx.outbox.waiting(BATCH)

    return services.database.transact(take)
