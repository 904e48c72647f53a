"""Each fault of the archive is found by itself; a whole archive has none."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.audit.check_archive import ArchivedFacts, archived_money, judge_archived
from orchestrator.rules.audit.invariants import ArchivedMoney, Invariant
from orchestrator.rules.installation.retention import ArchivedBook
from tests.rules.test_retention import a_tombstone

RECORD: Mapping[str, Any] = {"session": {}, "placements": []}


@pytest.mark.parametrize(
    ("kept", "digest", "problem"),
    [
        pytest.param({}, None, None, id="its record was deleted on purpose"),
        pytest.param({"record": RECORD, "digest": "x"}, "x", None, id="whole"),
        pytest.param({"record": RECORD, "digest": "x"}, "y", "not those that were archived", id="changed"),
        pytest.param({"digest": "x"}, None, "record is missing", id="missing"),
    ],
)
def test_an_archived_session_is_as_it_was(
    kept: Mapping[str, Any], digest: str | None, problem: str | None
) -> None:
    found = list(judge_archived(ArchivedFacts(tombstone=a_tombstone(**kept), digest=digest)))
    assert len(found) == (problem is not None)
    for finding in found:
        assert (finding.check, finding.subject) == (Invariant.ARCHIVE, "s")
        assert problem is not None
        assert problem in finding.detail


@pytest.mark.parametrize(
    ("openings", "kept", "unknown", "problem"),
    [
        pytest.param({"revenue": [-7]}, None, (), None, id="as it must be"),
        pytest.param({"revenue": [-7]}, (-5, 2), (), None, id="as it must be, with the archive"),
        pytest.param({"revenue": [-8]}, None, (), "opens with -8.00 against revenue", id="another sum"),
        pytest.param({}, None, (), "its ledger has no opening entry against revenue", id="no opening"),
        pytest.param({"revenue": [-3, -4]}, None, (), "2 entries open its ledger", id="two openings"),
        pytest.param(
            {"revenue": [-7], "granted": [1]}, None, (), "opens with 1.00 against granted", id="from nowhere"
        ),
        pytest.param({"revenue": [-7]}, (-5, 1), (), "1 entries against revenue", id="an entry is missing"),
        pytest.param({"revenue": [-7]}, (-6, 2), (), "of -6.00 in all", id="an entry was changed"),
        pytest.param({"revenue": [-7]}, (-5, 2), ("s",), "and no such session", id="a session is missing"),
    ],
)
def test_the_opening_entry_carries_what_left(
    openings: Mapping[str, Sequence[int]],
    kept: tuple[int, int] | None,
    unknown: Sequence[str],
    problem: str | None,
) -> None:
    book = ArchivedBook(
        account_id="acme",
        book="revenue",
        amount=Decimal(-7),
        entries=3,
        kept_amount=Decimal(-5),
        kept_entries=2,
    )
    money = ArchivedMoney(
        books=[book],
        openings={name: [Decimal(one) for one in amounts] for name, amounts in openings.items()},
        kept=None if kept is None else {"revenue": (Decimal(kept[0]), kept[1])},
        unknown=unknown,
    )
    found = list(archived_money(money))
    assert len(found) == (problem is not None)
    assert all(problem is not None and problem in one for one in found)
