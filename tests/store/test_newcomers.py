"""The state that a new session finds, in one statement."""

from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH

from orchestrator.rules.admission.quota import Usage
from orchestrator.rules.values import Account
from orchestrator.store.database import Database
from orchestrator.store.queries.newcomers import NewSessionFacts
from orchestrator.store.queries.usage import Standing
from orchestrator.store.transaction import Transaction
from tests.rules.builders import HOUR, T0
from tests.store.stage import a_created, a_queued, a_running, an_account, keep, session_id, statements
from tests.store.test_archive import away
from tests.store.test_brakes import a_brake

#: The result where nothing is there.
NEW = {"session_id": "new", "name": "new", "model_id": "none"}


def meet(database: Database, **new: str) -> NewSessionFacts:
    return database.transact(lambda tx: tx.newcomers.read("acme", T0, {None: 600}, **(NEW | new)))


def test_where_nothing_is_it_meets_nothing(database: Database) -> None:
    with statements(database) as seen:
        met = meet(database)
    assert met == NewSessionFacts(
        standing=Standing(earliest_stop=None, has_queued_sessions=False),
        usage=Usage(),
        model=None,
        same_id=False,
        namesake=None,
        has_brakes=False,
    )
    assert len(seen) == 1


def test_it_meets_what_its_account_holds_and_its_model(database: Database) -> None:
    keep(database, a_running(1, nodes=2, stop_at=T0 + HOUR), a_queued(2), a_created(3))
    met = meet(database, model_id="llama")
    assert met.standing == Standing(earliest_stop=T0 + HOUR, has_queued_sessions=True)
    assert met.usage == Usage(total=3, concurrent=1, nodes=2, queue_ahead=1)
    assert met.model == database.transact(lambda tx: tx.models.get("llama"))
    assert met.model is not None


def test_an_id_is_taken_in_every_account_a_name_in_its_own(database: Database) -> None:
    keep(database, an_account("other"))
    keep(database, a_created(1, name="mine"), a_created(2, name="theirs", account_id="other"))
    assert meet(database, session_id=session_id(2)).same_id
    assert meet(database, name="mine").namesake == session_id(1)
    assert meet(database, name="theirs").namesake is None


def test_what_is_archived_has_its_id_for_good_and_its_name_until_it_is_deleted(database: Database) -> None:
    database.transact(away)  # the session "s", called "one"
    met = meet(database, session_id="s", name="one")
    assert (met.same_id, met.namesake) == (True, "s")
    database.transact(lambda tx: tx.archive.mark_deleted(["s"], T0))
    met = meet(database, session_id="s", name="one")
    assert (met.same_id, met.namesake) == (True, None)


def test_a_brake_anywhere_is_worth_a_look(database: Database) -> None:
    database.transact(lambda tx: tx.brakes.engage(a_brake()))
    assert meet(database).has_brakes


def test_an_account_is_locked_by_its_session_unless_somebody_holds_it(on_postgresql: Database) -> None:
    keep(on_postgresql, a_created(1))

    def beside(tx: Transaction) -> Account | None:
        assert tx.accounts.lock_of(session_id(1)) is not None
        return on_postgresql.transact(lambda other: other.accounts.lock_of(session_id(1)))

    assert on_postgresql.transact(beside) is None
    assert on_postgresql.transact(lambda tx: tx.accounts.lock_of("nobody's")) is None


def test_a_session_is_locked_with_what_stands_in_its_account(database: Database) -> None:
    keep(database, a_created(1), a_running(2, stop_at=T0 + HOUR))
    found = database.transact(lambda tx: tx.sessions.lock_with_standing(session_id(1), "acme"))
    assert found == (a_created(1), Standing(earliest_stop=T0 + HOUR, has_queued_sessions=False))
    assert database.transact(lambda tx: tx.sessions.lock_with_standing("nobody's", "acme")) is None


def test_the_statement_is_short_enough_for_psycopg_to_keep_it_parsed(on_postgresql: Database) -> None:
    with statements(on_postgresql) as seen:
        on_postgresql.transact(
            lambda tx: tx.newcomers.read("acme", T0, {None: 600, "alpha": 60, "beta": 30}, **NEW)
        )
    (one,) = seen
    assert len(one[0]) <= MAX_CACHED_STATEMENT_LENGTH
