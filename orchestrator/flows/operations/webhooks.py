"""Add, change, delete and replay webhooks; those of `orchestrator.toml` are taken over as a worker starts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orchestrator.client.event_resources import EVENTS
from orchestrator.flows.engine.services import Services
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import Delivery, Webhook
from orchestrator.rules.webhooks import CANNOT_SIGN, key_in, receives, replayed, unmatched
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.settings.secrets import SecretStore
from orchestrator.store.database import Database
from orchestrator.store.queries.webhooks import Backlog
from orchestrator.store.transaction import Precondition, Transaction


class InTheFile(Exception):
    """The webhook is in `orchestrator.toml`, where it must be changed."""


class NotReceived(Exception):
    """The webhook does not receive this event: its types or accounts exclude it."""

    def __init__(self, event: Delivery) -> None:
        self.event_id = event.event_id
        what = f"the event {event.event_id} ({event.type} of {event.subject})"
        remedy = "its events or accounts exclude it; change these first"
        super().__init__(f"the webhook {event.webhook} does not receive {what}: {remedy}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookReport:
    """A webhook with what did not arrive there."""

    webhook: Webhook
    backlog: Backlog


def put_webhook(
    database: Database,
    name: str,
    given: WebhookConfiguration,
    *,
    active: bool,
    precondition: Precondition | None = None,
) -> Webhook:
    """Add the webhook, or change it. A new one receives what happens from now on. Raises InTheFile, and the Refusal of
    the precondition."""

    def put(tx: Transaction) -> Webhook:
        known = tx.webhooks.get(name, lock=True)
        if precondition is not None:
            precondition(tx)
        if known is not None and known.from_file:
            raise InTheFile(name)
        return _write(tx, name, given, known, tx.now(), active=active, from_file=False)

    return database.transact(put)


def unfit_secrets(secrets: SecretStore, refs: Iterable[str]) -> list[str]:
    """Return a sentence for each secret that this process has and that cannot sign: workers may have others."""
    found = ((ref, secrets.get(ref)) for ref in refs)
    unfit = [ref for ref, secret in found if secret is not None and key_in(secret) is None]
    return [
        f"{ref} {CANNOT_SIGN}; the value on this machine is not one: a worker with the same value sends nothing"
        for ref in unfit
    ]


def idle_filters(database: Database, given: WebhookConfiguration) -> list[str]:
    """Return a sentence for each pattern that no type of event has, and for each account that does not exist: nothing
    arrives for them, perhaps for a slip of the pen."""
    with database.reading() as tx:
        unknown = [one for one in given.account_ids if tx.accounts.get(one) is None]
    notes = [
        f"no event has the type {one}: docs/events.md lists all"
        for one in unmatched(given.event_types, EVENTS)
    ]
    return notes + [
        f"account {one} does not exist: no event arrives for it until it is created" for one in unknown
    ]


def delete_webhook(database: Database, name: str) -> bool:
    """Delete the webhook and what waits for it; return whether there was one. Raises InTheFile."""

    def delete(tx: Transaction) -> bool:
        known = tx.webhooks.get(name, lock=True)
        if known is not None and known.from_file:
            raise InTheFile(name)
        return tx.webhooks.delete(name)

    return database.transact(delete)


def replay(database: Database, name: str, event_ids: Collection[str] = ()) -> Sequence[Delivery]:
    """Send dead letters again: those of these events, or all that the webhook still receives. An event that is no dead
    letter is sent once more, if it is still kept. Return what will be sent. Raises LookupError with the id of an event
    that is not kept, NotReceived for one that the webhook's filter excludes."""

    def again(tx: Transaction) -> Sequence[Delivery]:
        now, webhook = tx.now(), tx.webhooks.get(name, lock=True)
        if webhook is None:
            return ()
        dead = tx.webhooks.dead_letters(name)
        if event_ids:
            known = {one.event_id: one for one in dead}
            wanted = [known.get(event_id) or _kept(tx, name, event_id, now) for event_id in event_ids]
        else:
            wanted = [one for one in dead if _is_received(webhook, one)]
        if excluded := [one for one in wanted if not _is_received(webhook, one)]:
            raise NotReceived(excluded[0])
        chosen = [replayed(one, now) for one in wanted]
        tx.webhooks.put(chosen)
        if chosen:
            tx.webhooks.save(webhook, replace(webhook, next_at=min(webhook.next_at, now)))
        return chosen

    return database.transact(again)


def reports(database: Database) -> Sequence[WebhookReport]:
    """Return every webhook with what did not arrive there."""
    with database.reading() as tx:
        return [
            WebhookReport(webhook=one, backlog=tx.webhooks.backlog(one.name)) for one in tx.webhooks.listed()
        ]


def report_of(tx: Transaction, name: str) -> WebhookReport | None:
    """Return one webhook with what did not arrive there; None if no webhook has this name."""
    webhook = tx.webhooks.get(name)
    return None if webhook is None else WebhookReport(webhook=webhook, backlog=tx.webhooks.backlog(name))


def as_json(report: WebhookReport) -> dict[str, Any]:
    """Return a webhook as people and other services read it: its secrets by reference."""
    webhook, backlog = report.webhook, report.backlog
    return {
        "name": webhook.name,
        "url": webhook.url,
        "secrets": list(webhook.secret_refs),
        "events": list(webhook.event_types),
        "accounts": list(webhook.account_ids),
        "active": webhook.active,
        "from_file": webhook.from_file,
        "waiting": backlog.waiting,
        "oldest_waiting_at": rfc3339(backlog.oldest),
        "dead": backlog.dead,
        "failures": webhook.failures,
        "next_at": rfc3339(webhook.next_at),
        "last_answer": webhook.last_answer,
        "last_sent_at": rfc3339(webhook.last_sent_at),
        "created_at": rfc3339(webhook.created_at),
    }


def delivery_as_json(delivery: Delivery) -> dict[str, Any]:
    """Return an event for a webhook that was given up, or is sent again."""
    return {
        "webhook": delivery.webhook,
        "event_id": delivery.event_id,
        "type": delivery.type,
        "subject": delivery.subject,
        "time": rfc3339(delivery.time),
        "tries": delivery.tries,
        "last_answer": delivery.last_answer,
        "dead_at": rfc3339(delivery.dead_at),
    }


def sync_webhooks(services: Services) -> None:
    """Take over the webhooks of the configuration. One that left the file is deleted, with what waits for it."""
    given = services.config.webhooks
    with services.database.reading() as tx:
        known = {one.name: one for one in tx.webhooks.listed()}
    same = all(name in known and _is(known[name], one) for name, one in given.items())
    if same and not any(one.from_file and name not in given for name, one in known.items()):
        return

    def sync(tx: Transaction) -> None:
        now = tx.now()
        for name in sorted({one.name for one in tx.webhooks.listed() if one.from_file} - set(given)):
            tx.webhooks.delete(name)
        for name, one in sorted(given.items()):
            _write(tx, name, one, tx.webhooks.get(name, lock=True), now, active=True, from_file=True)

    services.database.transact(sync)


def _is(known: Webhook, given: WebhookConfiguration) -> bool:
    return (
        known.from_file
        and known.active
        and given
        == WebhookConfiguration(
            url=known.url,
            secret_refs=known.secret_refs,
            event_types=known.event_types,
            account_ids=known.account_ids,
        )
    )


def _write(
    tx: Transaction,
    name: str,
    given: WebhookConfiguration,
    known: Webhook | None,
    now: datetime,
    *,
    active: bool,
    from_file: bool,
) -> Webhook:
    before = known or Webhook(
        name=name,
        url=given.url,
        secret_refs=given.secret_refs,
        place=tx.webhooks.newest_place(),
        next_at=now,
        created_at=now,
    )
    webhook = replace(
        before,
        url=given.url,
        secret_refs=given.secret_refs,
        event_types=given.event_types,
        account_ids=given.account_ids,
        active=active,
        from_file=from_file,
        failures=0,
        next_at=now,
    )
    if known is None:
        tx.webhooks.insert(webhook)
    else:
        tx.webhooks.save(known, webhook)
        excluded = [one.seq for one in tx.webhooks.waiting(name) if not _is_received(webhook, one)]
        tx.webhooks.forget(name, excluded)
        tx.webhooks.try_all(name, now)  # the cause of the failure may be gone
    return webhook


def _is_received(webhook: Webhook, delivery: Delivery) -> bool:
    return receives(webhook, delivery.type, delivery.subject, delivery.data)


def _kept(tx: Transaction, name: str, event_id: str, now: datetime) -> Delivery:
    event = tx.webhooks.find_event(event_id)
    if event is None:
        raise LookupError(event_id)
    return Delivery(
        webhook=name,
        seq=event.seq,
        event_id=event.id,
        type=event.type,
        subject=event.subject,
        time=event.time,
        data=event.data,
        since=now,
        next_at=now,
    )
