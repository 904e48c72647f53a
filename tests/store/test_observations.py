"""Reads and writes of reconcile and the report of leftovers, on both databases."""

from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import Lease, ReconcileObservation
from orchestrator.store.database import Database
from tests.rules.builders import HOUR, MINUTE, T0
from tests.store.stage import a_closing, a_created, a_placement, a_running, an_opening, keep, session_id


def an_observation(handle: str, credential: str = "env:A", *, missing: bool = False) -> ReconcileObservation:
    return ReconcileObservation(
        provider="alpha", credential=credential, handle=handle, missing=missing, since=T0
    )


def test_placements_of_a_provider_come_with_the_life_of_their_sessions(database: Database) -> None:
    leased = {"lease": Lease("t", T0 + MINUTE), "sent_at": T0}
    keep(
        database,
        *(a_running(1, last_alive_at=T0 - MINUTE), a_created(2), a_created(3), a_created(4), a_created(5)),
        a_placement(1, fingerprint="f"),
        an_opening(2, credential="env:B", **leased),
        a_placement(3, provider="beta"),
        a_placement(4, state=PlacementState.CLOSED, proof="gone", ended_at=T0),
        a_closing(5, session_id=None, fingerprint="another"),
    )
    with database.reading() as tx:
        known = {one.id: one for one in tx.observations.unended("alpha", "env:A", "f", T0)}
    assert sorted(known) == ["placement-00001", "placement-00002", "placement-00005"]
    mine, opening, orphan = (known[name] for name in sorted(known))
    assert (mine.alive_at, mine.covered, mine.leased) == (T0 - MINUTE, True, False)
    assert (opening.covered, opening.leased, opening.alive_at) == (False, True, None)
    assert (orphan.session_id, orphan.covered) == (None, False), "opened with another secret"


def test_ended_placements_are_found_by_handle_or_name_the_latest_first(database: Database) -> None:
    ended = {"state": PlacementState.CLOSED, "proof": "gone"}
    keep(
        database,
        *(a_created(n) for n in (1, 2, 3)),
        a_placement(1, handle="h", ended_at=T0, **ended),
        a_placement(2, handle="h", ended_at=T0 + HOUR, **ended),
        a_placement(3, handle=None, state=PlacementState.NEVER_OPENED, ended_at=T0 - HOUR),
    )
    with database.reading() as tx:
        found = tx.observations.ended_like("alpha", {"h"}, {"placement-00003"}, T0)
        assert [one.id for one in found] == ["placement-00002", "placement-00001", "placement-00003"]
        assert tx.observations.ended_like("beta", {"h"}, set(), T0) == []
        assert tx.observations.ended_like("alpha", set(), set(), T0) == []
        assert tx.observations.ended_like("alpha", {f"x{n}" for n in range(1000)}, {"placement-00003"}, T0)


def test_what_another_providers_rows_have_is_known(database: Database) -> None:
    keep(
        database,
        *(a_running(n) for n in (1, 2, 3)),
        a_placement(1, handle="h", provider="renamed"),
        a_placement(2, handle="i", provider="beta"),
        a_placement(
            3, handle="j", provider="renamed", state=PlacementState.CLOSED, proof="gone", ended_at=T0
        ),
    )
    ids = {f"placement-0000{n}" for n in (1, 2, 3)}
    with database.reading() as tx:
        assert tx.observations.serving_under(["beta"], "alpha", {"h", "i", "j"}, set()) == {"h"}
        assert tx.observations.serving_under(["beta"], "alpha", set(), ids) == {
            "placement-00001",
            "placement-00002",
        }
        assert tx.observations.serving_under([], "renamed", {"h", "i"}, ids) == {"i", "placement-00002"}


def test_a_key_remembers_what_its_last_list_left_open(database: Database) -> None:
    first, second = an_observation("x"), an_observation("y", missing=True)
    other = an_observation("z", "env:B", missing=True)
    database.transact(lambda tx: tx.observations.replace("alpha", "env:B", [other]))
    database.transact(lambda tx: tx.observations.replace("alpha", "env:A", [first, second]))
    with database.reading() as tx:
        assert set(tx.observations.of_key("alpha", "env:A")) == {first, second}
        assert tx.observations.missing_elsewhere("alpha", "env:A") == 1
        assert tx.observations.missing_elsewhere("beta", "env:A") == 0
    database.transact(lambda tx: tx.observations.replace("alpha", "env:A", [first]))
    database.transact(lambda tx: tx.observations.replace("alpha", None, []))
    with database.reading() as tx:
        assert list(tx.observations.of_key("alpha", "env:A")) == [first]
        assert list(tx.observations.of_key("alpha", "env:B")) == [other]


def test_leftovers_are_orphans_forced_closes_and_opens_that_may_have_left_more(database: Database) -> None:
    closed = {"state": PlacementState.CLOSED, "proof": "none", "ended_at": T0, "due": None}
    forced = {**closed, "forced_by": "ann", "forced_why": "why"}
    keep(
        database,
        *(a_created(n, state=State.STOPPED) for n in (2, 3, 4)),
        a_created(1, state=State.FAILED),
        a_closing(9, session_id=None),
        a_closing(1, forced_at=T0, **forced),
        a_closing(2, forced_at=T0 + HOUR, **forced),
        an_opening(3, state=PlacementState.UNKNOWN, possible_orphans=True, sent_at=T0 - 30 * MINUTE),
        an_opening(4, state=PlacementState.UNKNOWN, possible_orphans=True, sent_at=T0 - HOUR),
    )
    with database.reading() as tx:
        assert [one.id for one in tx.leftovers.orphans()] == ["placement-00009"]
        assert [one.session_id for one in tx.leftovers.forced(10)] == [session_id(2), session_id(1)]
        assert (len(tx.leftovers.forced(1)), tx.leftovers.count_forced()) == (1, 2)
        [older] = tx.leftovers.forced(1, states=[State.FAILED])
        assert older.session_id == session_id(1)
        assert [len(tx.leftovers.forced(1, account_id=name)) for name in ("acme", "nobody")] == [1, 0]
        assert [one.session_id for one in tx.leftovers.possible_orphans(T0)] == [session_id(3)]
        assert tx.leftovers.lock_orphan("placement-00009") is not None
        assert tx.leftovers.lock_orphan("placement-00001") is None, "it belongs to a session"
