"""What must hold of the archive: it has everything that left the live tables, unchanged, and the ledger opens with its
sum."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.rules.audit.invariants import ArchivedMoney, Invariant, Violation
from orchestrator.rules.installation.retention import ArchivedBook
from orchestrator.rules.values import ZERO, ArchivedSession
from orchestrator.rules.values.amounts import money_text


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedFacts:
    """An archived session, with the digest of what the archive holds of it now."""

    tombstone: ArchivedSession
    digest: str | None


def judge_archived(facts: ArchivedFacts) -> Iterator[Violation]:
    """Yield what is wrong with one archived session. Without a digest there is nothing to compare: its record was
    deleted."""
    tombstone = facts.tombstone
    if tombstone.digest is None:
        return
    if tombstone.record is None:
        yield Violation(Invariant.ARCHIVE, tombstone.id, "its record is missing")
    elif facts.digest != tombstone.digest:
        problem = "its record or its ledger entries are not those that were archived"
        yield Violation(Invariant.ARCHIVE, tombstone.id, problem)


def archived_money(money: ArchivedMoney) -> Iterator[str]:
    """Yield what is wrong with an account's opening entries, and with its entries in the archive."""
    books = {book.book: book for book in money.books}
    for name in sorted(books.keys() | money.openings.keys()):
        opened = money.openings.get(name, ())
        left = books[name].amount if name in books else ZERO
        if len(opened) > 1:
            yield f"{len(opened)} entries open its ledger against {name}"
        elif name in books and not opened:
            yield f"its ledger has no opening entry against {name}: entries of {money_text(left)} were archived"
        elif sum(opened) != left:
            opening = f"its ledger opens with {money_text(sum(opened, ZERO))} against {name}"
            yield f"{opening}, but the archived entries add up to {money_text(left)}"
    if money.kept is not None:
        for book in money.books:
            yield from _kept(book, money)
    for session_id in money.unknown:
        yield f"the archive has entries of session {session_id}, and no such session"


def _kept(book: ArchivedBook, money: ArchivedMoney) -> Iterator[str]:
    amount, entries = (money.kept or {}).get(book.book, (ZERO, 0))
    if (amount, entries) != (book.kept_amount, book.kept_entries):
        yield (
            f"the archive has {entries} entries against {book.book} of {money_text(amount)} in all,"
            f" {book.kept_entries} of {money_text(book.kept_amount)} were archived"
        )
