"""Rows are found by what a person types: a whole id, a name, a beginning; letter by letter on both databases."""

from dataclasses import replace

from orchestrator.rules.states import State
from orchestrator.store.database import Database
from orchestrator.store.queries.lookups import NamedRow, RowKind
from orchestrator.store.queries.pages import SessionFilter
from tests.rules.builders import T0
from tests.store.stage import a_closing, a_created, a_running, an_account, keep


def test_sessions_are_found_by_id_by_name_and_by_beginning(database: Database) -> None:
    keep(
        database,
        replace(a_created(1), id="Batch_1", name="first"),
        replace(a_created(2), id="Batch_2", name="second"),
        replace(a_created(3), id="batchX3", name="Batch_1"),
        replace(a_created(4), id="Batch_4", name="gone", deleted_at=T0),
    )
    with database.reading() as tx:
        rows = tx.lookups
        assert rows.has(RowKind.SESSION, "Batch_1")
        assert not rows.has(RowKind.SESSION, "batch_1"), "the case counts"
        assert not rows.has(RowKind.SESSION, "Batch_4"), "deleted"
        assert rows.has(RowKind.ENDED_SESSION, "Batch_4")
        assert rows.named(RowKind.SESSION, "Batch_1", 9) == [NamedRow("batchX3", "Batch_1")]
        found = [one.id for one in rows.beginning(RowKind.SESSION, "Batch_", 9)]
        assert found == ["Batch_1", "Batch_2"], "an underscore is an underscore"
        assert [one.id for one in rows.beginning(RowKind.SESSION, "", 2)] == sorted(["Batch_1", "Batch_2"])
        assert [one.id for one in rows.completing(RowKind.SESSION, "sec", 9)] == ["Batch_2"]
        assert rows.beginning(RowKind.SESSION, "%", 9) == []


def test_what_begins_like_an_id_or_a_name_is_completed_letter_by_letter(database: Database) -> None:
    names = ["café", "cafe", "Cafe", "caf%", "cafés", "cag", "caf\u00e9\U0001f600", "zz"]
    rows = [replace(a_created(n), id=f"s{n}", name=name) for n, name in enumerate(names, 1)]
    keep(database, *rows, replace(a_created(9), id="cafe-1", name="x"))
    keep(database, replace(a_created(10), id="s10", name="café gone", deleted_at=T0))
    with database.reading() as tx:
        for typed in ("café", "caf", "Caf", "caf%", "c", "", "s1", "none"):
            expected = {one.id for one in rows if one.id.startswith(typed) or one.name.startswith(typed)}
            expected |= {"cafe-1"} if "cafe-1".startswith(typed) or "x".startswith(typed) else set()
            found = tx.lookups.completing(RowKind.SESSION, typed, 20)
            assert sorted(one.id for one in found) == sorted(expected), typed
        assert len(tx.lookups.completing(RowKind.SESSION, "caf", 2)) == 2
        by_name = [
            one.name for one in tx.lookups.completing(RowKind.SESSION, "caf", 20) if one.id != "cafe-1"
        ]
        assert by_name == sorted(by_name)


def test_other_rows_are_found_too(database: Database) -> None:
    keep(database, an_account("zeta"))
    keep(database, replace(a_closing(1), session_id=None, id="orphan-1"))
    with database.reading() as tx:
        rows = tx.lookups
        assert [one.id for one in rows.beginning(RowKind.ACCOUNT, "z", 9)] == ["zeta"]
        assert [one.id for one in rows.beginning(RowKind.ORPHAN, "orph", 9)] == ["orphan-1"]
        assert rows.beginning(RowKind.FORMER_PROVIDER, "al", 9) == [NamedRow("alpha", "alpha")]
        for kind in RowKind:
            assert rows.named(kind, "nothing", 9) == []


def test_what_a_list_leaves_out_is_counted(database: Database) -> None:
    keep(database, a_running(1), a_created(2), replace(a_created(3), deleted_at=T0))
    with database.reading() as tx:
        assert tx.pages.count_sessions(SessionFilter()) == 2
        assert tx.pages.count_sessions(SessionFilter(states=(State.RUNNING,))) == 1
        assert tx.pages.count_sessions(SessionFilter(account_id="nobody")) == 0
        assert tx.pages.count_sessions(SessionFilter(provider="alpha")) == 1
        assert tx.accounts.count() == len(tx.accounts.listed())
