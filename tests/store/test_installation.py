"""An installation's id is made once, by the first process that needs it, and stays with the database."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.rules.reconcile.installations import Maker, maker_of
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction


def _new(database: Database) -> str:
    return database.transact(lambda tx: tx.installation.new_placement_id())


def _new_by_another(database: Database) -> str:
    """Return the id that another process makes."""
    other = Database(database.url.render_as_string(hide_password=False))
    made = _new(other)
    other.dispose()
    return made


def _known(database: Database) -> str | None:
    with database.reading() as tx:
        return tx.installation.known()


def test_it_is_made_with_the_first_placement_and_never_again(database: Database) -> None:
    assert _known(database) is None
    first, again = _new(database), _new_by_another(database)
    assert first != again
    assert {maker_of(one, _known(database)) for one in (first, again)} == {Maker.US}


def _undone(tx: Transaction) -> None:
    for _ in range(2):  # the second one finds what the first one made
        tx.installation.new_placement_id()
    raise LookupError


def test_what_was_undone_is_not_remembered(database: Database) -> None:
    with pytest.raises(LookupError):
        database.transact(_undone)
    assert _known(database) is None
    assert maker_of(_new(database), _known(database)) is Maker.US


def test_of_many_that_need_it_first_all_get_the_same(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(_new_by_another, [database] * 8))
    assert len({uuid.UUID(one).hex[:8] for one in made}) == 1
    assert len(set(made)) == 8
