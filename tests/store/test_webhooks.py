"""Places in the outbox: what is committed late is sent too."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import insert

from orchestrator.rules.events import Event
from orchestrator.rules.values import Lease, Webhook
from orchestrator.store.database import Database
from orchestrator.store.queries.outbox import OUTBOX
from orchestrator.store.queries.webhooks import NextEvents
from tests.receiver import an_event_for
from tests.rules.builders import T0

HOOK = Webhook(name="shop", url="https://x.example", secret_refs=(), place=0, next_at=T0, created_at=T0)
LIMIT = 100


def write(database: Database, *subjects: str) -> None:
    """Write an event of each subject, in one transaction."""
    events = [Event(type="orchestrator.session.created", subject=one, data={}) for one in subjects]
    database.transact(lambda tx: tx.outbox.add(events))


def read(database: Database, webhook: Webhook) -> NextEvents:
    with database.reading() as tx:
        return tx.webhooks.next_events(webhook, LIMIT)


def up_to_now(database: Database) -> NextEvents:
    """Return a place behind everything that there is."""
    with database.reading() as tx:
        return NextEvents(events=[], place=tx.webhooks.newest_place(), gap_until=None)


def after(found: NextEvents) -> Webhook:
    """Return the webhook after a pass that read this."""
    return Webhook(
        name="shop",
        url="https://x.example",
        secret_refs=(),
        place=found.place,
        gap_until=found.gap_until,
        next_at=T0,
        created_at=T0,
    )


def test_events_are_read_in_their_order(database: Database) -> None:
    write(database, "first")
    begun = up_to_now(database)
    write(database, "a", "b")
    found = read(database, after(begun))
    assert [one.subject for one in found.events] == ["a", "b"]
    assert read(database, after(found)).events == []


def test_a_place_is_not_passed_while_a_transaction_may_fill_it(on_postgresql: Database) -> None:
    write(on_postgresql, "a")
    begun = up_to_now(on_postgresql)
    row = {"id": "late", "type": "orchestrator.session.created", "subject": "late", "time": T0, "data": {}}
    with on_postgresql.engine.connect() as late, late.begin() as transaction:
        late.execute(insert(OUTBOX), [row])
        write(on_postgresql, "b")
        waits = read(on_postgresql, after(begun))
        assert (waits.events, waits.place) == ([], begun.place)
        assert read(on_postgresql, after(waits)).events == [], "it is still open"
        transaction.commit()
    found = read(on_postgresql, after(waits))
    assert [one.subject for one in found.events] == ["late", "b"]


def test_a_place_that_nobody_fills_is_passed(on_postgresql: Database) -> None:
    write(on_postgresql, "a")
    begun = up_to_now(on_postgresql)
    row = {"id": "gone", "type": "orchestrator.session.created", "subject": "gone", "time": T0, "data": {}}
    with on_postgresql.engine.connect() as gone, gone.begin() as transaction:
        gone.execute(insert(OUTBOX), [row])
        transaction.rollback()
    write(on_postgresql, "b", "c")
    waits = read(on_postgresql, after(begun))
    assert waits.events == []
    found = read(on_postgresql, after(waits))
    assert [one.subject for one in found.events] == ["b", "c"]


def test_one_worker_at_a_time_serves_a_webhook(database: Database) -> None:
    write(database, "a")
    database.transact(lambda tx: tx.webhooks.insert(HOOK))
    until = T0 + timedelta(minutes=1)

    def claim(now_until: timedelta = timedelta(0)) -> Webhook | None:
        now = T0 + now_until
        return database.transact(lambda tx: tx.webhooks.claim("shop", Lease("token", until + now_until), now))

    first, second = claim(), claim()
    assert (first is not None, second) == (True, None)
    with database.reading() as tx:
        assert (list(tx.webhooks.due(T0)), list(tx.webhooks.due(until))) == ([], ["shop"])
    assert claim(timedelta(minutes=1)) is not None


def test_what_was_given_up_is_deleted_after_its_retention(database: Database) -> None:
    database.transact(lambda tx: tx.webhooks.insert(HOOK))
    old, newer, waits = (replace(an_event_for("shop", T0), seq=n) for n in (1, 2, 3))
    dead = [replace(old, dead_at=T0), replace(newer, dead_at=T0 + timedelta(hours=1))]
    database.transact(lambda tx: tx.webhooks.put([*dead, waits]))
    assert database.transact(lambda tx: tx.webhooks.forget_dead(T0 + timedelta(minutes=1))) == 1
    with database.reading() as tx:
        assert [one.seq for one in tx.webhooks.dead_letters()] == [2]
        assert tx.webhooks.backlog("shop").waiting == 1
