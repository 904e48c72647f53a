"""Send events to webhooks: at least once, in the order of each subject. Each webhook has a lease, a place in the outbox
and rows for what did not arrive, so that a slow or broken receiver delays no other."""

import asyncio
import logging
import queue
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.services import Services
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.observability import metrics
from orchestrator.rules import webhooks as rule
from orchestrator.rules.values import Delivery, Lease, Webhook
from orchestrator.store.queries.outbox import WaitingEvent
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Events that one pass reads after the webhook's place, and events that it tries again.
AGAIN = 50
#: This many subjects are served at the same time.
LINES = 8
#: A pass begins no event after this; an event takes `ANSWERS_WITHIN` at most. Seconds.
PASS_SECONDS = 20.0
LEASE = timedelta(seconds=PASS_SECONDS + rule.ANSWERS_WITHIN + 30)


class SendsEvents(Protocol):
    """Sends one event to one webhook."""

    async def send(
        self, webhook: Webhook, event: Mapping[str, Any], now: datetime
    ) -> rule.Undelivered | None:
        """Return None if the event arrived; otherwise why not. `now`: the store's time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedPass:
    """What one pass sends: `lines` are the events of one subject each, in order."""

    webhook: Webhook
    token: str
    now: datetime
    """When it was claimed."""
    lines: Sequence[Sequence[Delivery]]
    behind: Sequence[Delivery]
    """New events that wait behind an earlier one of their subject."""
    place: int
    gap_until: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPass:
    """What came of it."""

    arrived: Sequence[Delivery]
    failed: Sequence[tuple[Delivery, rule.Undelivered]]
    unsent: Sequence[Delivery]


class _NobodyListens(queue.SimpleQueue[Any]):
    """Takes the results of passes that no thread waits for: each has logged its own failure."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        """Drop it."""


def deliver_webhooks(services: Services, sender: SendsEvents, *, waits: bool = False) -> Tally:
    """Begin a pass for each webhook that is due. `waits`: until all have ended; the tally then counts what arrived."""
    passes = _begin(services, sender)
    if waits:
        return Tally(claimed=len(passes), settled=sum(sum(counts) for counts in services.loop.stream(passes)))
    services.loop.start(passes, _NobodyListens())
    return Tally()


def _begin(services: Services, sender: SendsEvents) -> list[Coroutine[Any, Any, int]]:
    if services.slots.closed:
        return []
    with services.database.reading() as tx:
        due = tx.webhooks.due(tx.now())
    claims = (services.database.transact(lambda tx, name=one: _claim(tx, name)) for one in due)  # type: ignore[misc]
    return [_run(services, sender, claimed) for claimed in claims if claimed is not None]


def _claim(tx: Transaction, name: str) -> ClaimedPass | None:
    now, token = tx.now(), tx.identity.new_token()
    webhook = tx.webhooks.claim(name, Lease(token, now + LEASE), now)
    if webhook is None:
        return None
    blocked = tx.webhooks.waiting_subjects(name)
    waiting = tx.webhooks.backlog(name).waiting if webhook.failures else 0
    read = tx.webhooks.next_events(webhook, rule.events_to_read(waiting))
    wanted = [
        _delivery(webhook, event, now)
        for event in read.events
        if rule.receives(webhook, event.type, event.subject, event.data)
    ]
    lines: dict[str, list[Delivery]] = {one.subject: [one] for one in tx.webhooks.heads(name, now, AGAIN)}
    for one in wanted:
        if one.subject not in blocked:
            lines.setdefault(one.subject, []).append(one)
    behind = [one for one in wanted if one.subject in blocked]
    return ClaimedPass(
        webhook=webhook,
        token=token,
        now=now,
        lines=list(lines.values()),
        behind=behind,
        place=read.place,
        gap_until=read.gap_until,
    )


def _delivery(webhook: Webhook, event: WaitingEvent, now: datetime) -> Delivery:
    return Delivery(
        webhook=webhook.name,
        seq=event.seq,
        event_id=event.id,
        type=event.type,
        subject=event.subject,
        time=event.time,
        data=event.data,
        since=event.time,
        next_at=now,
    )


async def _run(services: Services, sender: SendsEvents, claimed: ClaimedPass) -> int:
    """Send and settle; return how many events arrived. A failure costs only this pass: its lease expires."""
    try:
        sent = await _sent(services, sender, claimed)
        await services.loop.beside(services.database.transact, lambda tx: _settle(tx, claimed, sent))
    except Exception:
        log.exception("the webhook %s failed; its events are sent again", claimed.webhook.name)
        return 0
    _count(claimed.webhook.name, sent)
    return len(sent.arrived)


async def _sent(services: Services, sender: SendsEvents, claimed: ClaimedPass) -> SentPass:
    """Send each line in its order, a few beside each other; a failure ends its line."""
    arrived: list[Delivery] = []
    failed: list[tuple[Delivery, rule.Undelivered]] = []
    unsent: list[Delivery] = []
    began = services.loop.time()
    give_up_at = began + PASS_SECONDS
    in_a_row = 0
    room = asyncio.Semaphore(LINES)

    async def send(line: Sequence[Delivery]) -> None:
        nonlocal in_a_row
        async with room:
            for n, one in enumerate(line):
                refused = rule.sends_no_more(in_a_row, [failure for _, failure in failed])
                if refused or services.loop.time() > give_up_at or services.slots.closed:
                    unsent.extend(line[n:])
                    return
                now = claimed.now + timedelta(seconds=services.loop.time() - began)
                failure = await _send(sender, claimed.webhook, one, now)
                if failure is not None:
                    in_a_row += 1
                    failed.append((one, failure))
                    unsent.extend(line[n + 1 :])
                    return
                in_a_row = 0
                arrived.append(one)

    await asyncio.gather(*(send(line) for line in claimed.lines))
    return SentPass(arrived=arrived, failed=failed, unsent=unsent)


async def _send(
    sender: SendsEvents, webhook: Webhook, delivery: Delivery, now: datetime
) -> rule.Undelivered | None:
    """Send one event. A defect of ours fails this event, and no other."""
    try:
        return await sender.send(webhook, event_of(delivery), now)
    except Exception:
        log.exception("the event %s cannot be sent to the webhook %s", delivery.event_id, webhook.name)
        return rule.Undelivered("it could not be sent: the log of the worker says why")


def event_of(delivery: Delivery) -> dict[str, Any]:
    """Return the delivery's event as CloudEvents 1.0, in JSON."""
    return cloud_event(
        WaitingEvent(
            seq=delivery.seq,
            id=delivery.event_id,
            type=delivery.type,
            subject=delivery.subject,
            time=delivery.time,
            data=delivery.data,
        )
    )


def _settle(tx: Transaction, claimed: ClaimedPass, sent: SentPass) -> None:
    """Write what arrived and what did not, under the lease. Without it, another worker sends the same again."""
    name, webhook = claimed.webhook.name, tx.webhooks.get(claimed.webhook.name, lock=True)
    if webhook is None or webhook.lease is None or webhook.lease.token != claimed.token:
        return
    now = tx.now()
    tx.webhooks.forget(name, [one.seq for one in sent.arrived])
    failed = [rule.after_failure(one, failure, now) for one, failure in sent.failed]
    waiting = (*failed, *sent.unsent, *claimed.behind)  # the filter may have changed meanwhile
    tx.webhooks.put([one for one in waiting if rule.receives(webhook, one.type, one.subject, one.data)])
    failures = [failure for _, failure in sent.failed]
    after = rule.after_pass(webhook, arrived=len(sent.arrived), failed=failures, now=now)
    if webhook.failures and not after.failures:
        tx.webhooks.try_all(name, now)
    place = replace(after, place=claimed.place, gap_until=claimed.gap_until, lease=None)
    tx.webhooks.save(webhook, place)


def _count(name: str, sent: SentPass) -> None:
    metrics.WEBHOOKS.labels(name, metrics.ARRIVED).inc(len(sent.arrived))
    metrics.WEBHOOKS.labels(name, metrics.FAILED).inc(len(sent.failed))
