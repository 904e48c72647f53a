"""Rate limits of providers without credentials: their rows are skipped, those with keys are not."""

import pytest

from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.rules.builders import MINUTE, SECOND, T0
from tests.store.stage import a_credential, a_placement, a_running, keep
from tests.store.test_pings import claim, keep_running


def _hold(database: Database, seconds: int) -> None:
    database.transact(lambda tx: tx.rate_limits.limit_provider("alpha", T0 + seconds * SECOND))


def test_the_longer_wait_stands(database: Database) -> None:
    for seconds, stands in [(60, 60), (30, 60), (90, 90)]:
        _hold(database, seconds)
        held = database.transact(lambda tx: tx.rate_limits.of_providers(T0))
        assert held == {"alpha": T0 + stands * SECOND}
    assert database.transact(lambda tx: tx.rate_limits.of_providers(T0 + 90 * SECOND)) == {}


def test_only_what_has_no_key_waits_with_its_provider(database: Database) -> None:
    keep_running(database, a_running(1, credential=None), a_running(2, credential="env:A"))
    _hold(database, 60)
    assert claim(database, now=T0 + MINUTE - SECOND) == [2]
    assert claim(database, now=T0 + MINUTE) == [1]


@pytest.mark.parametrize("credential", [None, "env:A"])
def test_those_who_waited_together_go_one_after_another(database: Database, credential: str | None) -> None:
    crowd = [a_running(n, credential=credential) for n in range(1, 31)]
    keep_running(database, *crowd)
    if credential is None:
        _hold(database, 60)
    else:
        keep(database, a_credential(credential, exclusive=False, cool_until=T0 + MINUTE))
    went = [
        claim(database, now=T0 + MINUTE + tenths * SECOND / 10, spread_seconds=10) for tenths in range(100)
    ]
    assert sum(map(len, went)) == len(crowd)
    assert max(map(len, went)) == 3, "ids that end alike go together"
    assert sum(map(bool, went)) == 10


def test_without_a_wait_nobody_is_spread(database: Database) -> None:
    keep_running(database, *(a_running(n) for n in range(1, 31)))
    assert len(claim(database, spread_seconds=10)) == 30


def test_an_id_of_any_form_goes_within_the_spread(database: Database) -> None:
    ours = a_running(1, credential=None, id="customer-Z")
    keep(database, ours, a_placement(1, session_id=ours.id, credential=None))
    _hold(database, 60)

    def taken(tx: Transaction) -> int:
        now = T0 + MINUTE
        return len(tx.pings.claim("alpha", 9, now=now, token="mine", lease_seconds=90, spread_seconds=10))

    assert database.transact(taken) == 1
