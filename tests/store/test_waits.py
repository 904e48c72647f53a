"""Providers without credentials that said to wait: their rows are left alone, those of keys are not concerned."""

from orchestrator.store.database import Database
from tests.rules.builders import MINUTE, SECOND, T0
from tests.store.stage import a_running
from tests.store.test_pings import claim, keep_running


def _hold(database: Database, seconds: int) -> None:
    database.transact(lambda tx: tx.waits.hold("alpha", T0 + seconds * SECOND))


def test_the_longer_wait_stands(database: Database) -> None:
    for seconds, stands in [(60, 60), (30, 60), (90, 90)]:
        _hold(database, seconds)
        held = database.transact(lambda tx: tx.waits.holding(T0))
        assert held == {"alpha": T0 + stands * SECOND}
    assert database.transact(lambda tx: tx.waits.holding(T0 + 90 * SECOND)) == {}


def test_only_what_has_no_key_waits_with_its_provider(database: Database) -> None:
    keep_running(database, a_running(1, credential=None), a_running(2, credential="env:A"))
    _hold(database, 60)
    assert claim(database, now=T0 + MINUTE - SECOND) == [2]
    assert claim(database, now=T0 + MINUTE) == [1]
