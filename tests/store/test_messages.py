"""Jobs are done once, events leave in order, upkeep has one holder, money moves between books."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from orchestrator.rules.events import Event
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import Entry, book_of
from orchestrator.store.transaction import Transaction
from tests.rules.builders import MINUTE, SECOND, T0
from tests.store.stage import a_created, at_once, keep, meanwhile, wait_until_blocked
from tests.waiting import WAIT_LIMIT

pytestmark = pytest.mark.pooled

# inbox


def perform(database: Database, task_id: str, outcome: Mapping[str, Any]) -> tuple[bool, object]:
    """Return whether the job was ours, and its outcome."""

    def work(tx: Transaction) -> tuple[bool, object]:
        if not tx.inbox.take(task_id, "job", T0):
            return False, tx.inbox.outcome(task_id)
        tx.inbox.settle(task_id, outcome)
        return True, outcome

    return database.transact(work)


def test_a_job_is_taken_once_and_keeps_its_first_outcome(database: Database) -> None:
    outcome = perform(database, "t1", {"ok": 1})
    assert outcome == (True, {"ok": 1})
    outcome = perform(database, "t1", {"ok": 2})
    assert outcome == (False, {"ok": 1})
    outcome = perform(database, "t2", {"ok": 3})
    assert outcome == (True, {"ok": 3})


def test_the_outcome_of_an_unknown_job_is_none(database: Database) -> None:
    assert database.transact(lambda tx: tx.inbox.outcome("nobody")) is None


def test_a_job_that_failed_may_be_taken_again(database: Database) -> None:
    def fail(tx: Transaction) -> None:
        tx.inbox.take("t1", "job", T0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.transact(fail)
    outcome = perform(database, "t1", {"ok": 1})
    assert outcome == (True, {"ok": 1})


def test_a_job_that_comes_many_times_at_once_is_done_once(database: Database) -> None:
    done = at_once(*(lambda n=n: perform(database, "t1", {"by": n}) for n in range(4)))
    assert sorted(ours for ours, _ in done) == [False, False, False, True]
    assert len({str(outcome) for _, outcome in done}) == 1


@pytest.mark.parametrize("first_fails", [False, True])
def test_a_second_taker_waits_for_the_first(on_postgresql: Database, first_fails: bool) -> None:
    with on_postgresql.engine.connect() as other:
        first = Transaction(other, lambda: T0)
        assert first.inbox.take("t1", "job", T0)
        with meanwhile(lambda: perform(on_postgresql, "t1", {"by": 2})) as second:
            wait_until_blocked(on_postgresql)
            first.inbox.settle("t1", {"by": 1})
            (other.rollback if first_fails else other.commit)()
            expected = (True, {"by": 2}) if first_fails else (False, {"by": 1})
            assert second.result(WAIT_LIMIT) == expected


def test_old_outcomes_are_forgotten_and_young_ones_kept(database: Database) -> None:
    database.transact(lambda tx: [tx.inbox.take(f"t{n}", "job", T0 + n * SECOND) for n in range(5)])
    assert database.transact(lambda tx: tx.inbox.forget_before(T0 + 3 * SECOND, limit=2)) == 2
    assert database.transact(lambda tx: tx.inbox.forget_before(T0 + 3 * SECOND)) == 1
    outcome = perform(database, "t3", {})
    assert outcome == (False, None)
    outcome = perform(database, "t0", {})
    assert outcome == (True, {})


# outbox


def announce(tx: Transaction, *reported: tuple[str, int]) -> None:
    """Write an event about each subject, with its number."""
    tx.outbox.add([Event(type="example", subject=subject, data={"n": n}) for subject, n in reported])


def test_events_wait_in_order_until_they_are_delivered(database: Database) -> None:
    database.transact(lambda tx: announce(tx, *(("a", n) for n in range(4))))
    waiting = database.transact(lambda tx: tx.outbox.waiting(3))
    assert [event.data["n"] for event in waiting] == [0, 1, 2]
    database.transact(lambda tx: tx.outbox.mark_delivered([event.seq for event in waiting[:2]], T0))
    database.transact(lambda tx: announce(tx, ("a", 4)))
    assert [event.data["n"] for event in database.transact(lambda tx: tx.outbox.waiting(9))] == [2, 3, 4]


def test_an_event_bears_the_instant_of_the_decision_that_it_tells_of(database_url: str) -> None:
    """The clock continues between the decision and the commit, and the event must not."""
    readings = iter(T0 + n * SECOND for n in range(9))
    database = Database(database_url, clock=lambda: next(readings))

    def decide_twice(tx: Transaction) -> None:
        announce(tx, ("the clock is not read", 0))
        for subject in ("first", "second"):
            tx.now()
            announce(tx, (subject, 1), (subject, 2))
        tx.now()

    database.transact(decide_twice)
    with database.reading() as tx:
        times = [(event.time - T0) // SECOND for event in tx.outbox.waiting(9)]
    database.dispose()
    assert times == [0, 1, 1, 2, 2]


def test_old_events_are_forgotten_once_delivered_and_others_kept(database: Database) -> None:
    for name in ("one", "two", "three"):
        database.transact(lambda tx, n=name: tx.outbox.add([Event(type=n, subject="s", data={})]))  # type: ignore[misc]
    first, second, _ = database.transact(lambda tx: tx.outbox.tail(limit=3))
    database.transact(lambda tx: tx.outbox.mark_delivered([first.seq], T0))
    assert database.transact(lambda tx: tx.outbox.forget_before(T0)) == []
    assert database.transact(lambda tx: tx.outbox.forget_before(T0 + SECOND, limit=1)) == [first.time]
    assert database.transact(lambda tx: tx.outbox.forget_before(T0 + SECOND)) == []
    assert database.transact(lambda tx: tx.outbox.tail(limit=1)) == [second]


def test_no_place_in_the_order_is_given_twice_however_much_is_forgotten(database: Database) -> None:
    database.transact(lambda tx: announce(tx, ("a", 1), ("a", 2)))
    first, last = database.transact(lambda tx: tx.outbox.tail())
    database.transact(lambda tx: tx.outbox.mark_delivered([first.seq, last.seq], T0))
    database.transact(lambda tx: tx.outbox.forget_before(T0 + SECOND))
    database.transact(lambda tx: announce(tx, ("b", 3)))
    assert [event.data["n"] for event in database.transact(lambda tx: tx.outbox.tail(after=last.seq))] == [3]


def test_the_tail_shows_delivered_events_too_from_a_place_in_the_order(database: Database) -> None:
    database.transact(lambda tx: announce(tx, *((subject, n) for n, subject in enumerate("abab"))))
    every = database.transact(lambda tx: tx.outbox.tail())
    database.transact(lambda tx: tx.outbox.mark_delivered([every[0].seq, every[3].seq], T0))
    with database.reading() as tx:
        assert tx.outbox.tail() == every
        assert tx.outbox.tail(after=every[0].seq, subject="b") == [every[1], every[3]]
        assert tx.outbox.tail(limit=1) == every[:1]
        assert len({event.id for event in every}) == 4


def test_events_are_found_by_id_and_from_a_time_on(database_url: str) -> None:
    readings = iter([T0, T0 + 10 * MINUTE, T0 + 20 * MINUTE, T0 + 19 * MINUTE])
    database = Database(database_url, clock=lambda: next(readings))

    def decide(tx: Transaction) -> None:
        tx.now()
        announce(tx, ("a", 1))

    for _ in range(4):
        database.transact(decide)
    with database.reading() as tx:
        every = tx.outbox.tail()
        assert [tx.outbox.place_of(one.id) for one in every] == [one.seq for one in every]
        assert tx.outbox.place_of("unknown") is None
        assert tx.outbox.place_before(T0) == 0
        since = T0 + 19 * MINUTE
        place = tx.outbox.place_before(since)
        assert place == every[1].seq, "the last is late, by less than a transaction lasts"
        assert tx.outbox.tail(after=place, since=since) == every[2:]
    database.dispose()


def test_an_event_that_commits_late_is_found_in_its_gap(on_postgresql: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(tx: Transaction) -> None:
        announce(tx, ("late", 1))
        tx.flush()
        begun.set()
        go_on.wait(WAIT_LIMIT)

    writer = threading.Thread(target=lambda: on_postgresql.transact(slowly))
    writer.start()
    begun.wait(WAIT_LIMIT)
    on_postgresql.transact(lambda tx: announce(tx, ("early", 2)))
    [seen] = on_postgresql.transact(lambda tx: tx.outbox.tail())
    go_on.set()
    writer.join()
    with on_postgresql.reading() as tx:
        assert tx.outbox.tail(after=seen.seq) == []
        [late] = tx.outbox.tail(after=seen.seq, gaps=[seen.seq - 1])
    assert (seen.subject, late.subject) == ("early", "late")


def test_events_of_a_subject_keep_its_order_under_many_writers(database: Database) -> None:
    keep(database, a_created(1), a_created(2))
    database.transact(lambda tx: tx.connection.execute(text("DELETE FROM outbox")))

    def write(subject: str) -> None:
        for _ in range(10):
            database.transact(lambda tx: _count_up(tx, subject))

    at_once(*(lambda s=subject: write(s) for subject in ("acme", "acme", "acme")))
    reported = [event.data["n"] for event in database.transact(lambda tx: tx.outbox.tail())]
    assert reported == sorted(reported)
    assert len(reported) == 30


def _count_up(tx: Transaction, subject: str) -> None:
    account = tx.accounts.lock(subject)
    assert account is not None
    tx.accounts.save(account, replace(account, balance=account.balance + 1), T0)
    announce(tx, (subject, account.revision))


# leases


def hold(database: Database, holder: str, after: int = 0) -> bool:
    return database.transact(lambda tx: tx.leases.hold("tick", holder, T0 + after * SECOND, 30))


def fence(database: Database) -> int:
    with database.reading() as tx:
        return int(tx.connection.execute(text("SELECT fence FROM leases")).scalar_one())


def test_a_lease_has_one_holder_until_it_runs_out(database: Database) -> None:
    assert hold(database, "a")
    assert not hold(database, "b")
    assert hold(database, "a", after=20)  # kept
    assert not hold(database, "b", after=49)
    assert hold(database, "b", after=50)
    assert not hold(database, "a", after=51)


def test_each_new_holder_gets_a_higher_fence(database: Database) -> None:
    hold(database, "a")
    hold(database, "a", after=1)
    assert fence(database) == 1
    hold(database, "b", after=60)
    assert fence(database) == 2


def test_a_lease_that_is_given_back_is_free_at_once(database: Database) -> None:
    hold(database, "a")
    database.transact(lambda tx: tx.leases.give_back("tick", "b"))  # b does not hold it
    assert not hold(database, "b")
    database.transact(lambda tx: tx.leases.give_back("tick", "a"))
    assert hold(database, "b")
    assert fence(database) == 2


def test_a_lease_tells_when_its_holder_was_last_seen(database: Database) -> None:
    assert database.transact(lambda tx: tx.leases.last_seen("tick")) is None
    hold(database, "a")
    hold(database, "a", after=7)
    hold(database, "b", after=9)
    assert database.transact(lambda tx: tx.leases.last_seen("tick")) == T0 + 7 * SECOND


def test_of_many_who_reach_for_a_lease_at_once_one_holds_it(database: Database) -> None:
    held = at_once(*(lambda n=n: hold(database, f"h{n}") for n in range(4)))
    assert sorted(held) == [False, False, False, True]
    assert fence(database) == 1


# ledger


def entry(key: str, debit: str, credit: str, amount: str, /, **changes: Any) -> Entry:
    plain = Entry(
        key=key,
        at=T0,
        account_id="acme",
        kind="credit",
        debit=debit,
        credit=credit,
        amount=Decimal(amount),
        currency="USD",
    )
    return replace(plain, **changes)


def post(database: Database, *entries: Entry) -> None:
    def post_all(tx: Transaction) -> None:
        for one in entries:
            tx.ledger.post(one)

    database.transact(post_all)


def test_a_key_is_posted_once(database: Database) -> None:
    post(database, entry("k", "granted", book_of("acme"), "1"))
    with pytest.raises(IntegrityError):
        post(database, entry("k", "granted", book_of("acme"), "2"))
    assert database.transact(lambda tx: tx.ledger.balance("acme")) == 1
    assert database.transact(lambda tx: tx.ledger.by_key("nobody")) is None


@pytest.mark.parametrize("broken", [{"amount": Decimal(-1)}, {"debit": book_of("acme")}])
def test_an_entry_moves_a_positive_amount_between_two_books(
    database: Database, broken: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match="ck_ledger"):
        post(database, entry("k", "granted", book_of("acme"), "1", **broken))


def test_the_books_sum_to_zero_and_a_balance_is_its_books_sum(database: Database) -> None:
    assert database.transact(lambda tx: tx.ledger.is_empty("acme"))
    post(
        database,
        entry("k1", "granted", book_of("acme"), "9000000000000.000001"),
        entry("k2", "granted", book_of("acme"), "200000000000.000002"),
        entry("k3", book_of("acme"), "revenue", "0.000003"),
        entry("k4", "written_off", book_of("other"), "5", account_id="other"),
    )
    with database.reading() as tx:
        assert tx.ledger.balance("acme") == Decimal(9200000000000)
        assert tx.ledger.balance("other") == 5
        assert tx.ledger.balance("nobody") == 0
        assert not tx.ledger.is_empty("acme")
        assert [one.key for one in tx.ledger.of_account("acme", limit=2)] == ["k3", "k2"]
        books = "SELECT credit AS book, amount FROM ledger UNION ALL SELECT debit, -amount FROM ledger"
        query = text(f"SELECT book, sum(amount) FROM ({books}) AS b GROUP BY book")
        sums = {row[0]: int(row[1]) for row in tx.connection.execute(query)}
    assert sum(sums.values()) == 0
    assert sums["revenue"] == 3


def test_two_postings_at_once_under_one_key_move_money_once(database: Database) -> None:
    gate = threading.Barrier(3)

    def charge() -> bool:
        gate.wait(WAIT_LIMIT)
        try:
            post(database, entry("k", "granted", book_of("acme"), "1"))
        except IntegrityError:
            return False
        return True

    assert sorted(at_once(charge, charge, charge)) == [False, False, True]
