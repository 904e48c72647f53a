"""Which sessions another quota would have refused when they were admitted."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from orchestrator.rules.admission.quota import (
    AccountTerms,
    Usage,
    check_concurrent,
    check_nodes,
    check_nodes_total,
    check_total,
)
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import Session


def refused_under(
    sessions: Sequence[Session], old: AccountTerms, new: AccountTerms, since: datetime
) -> Iterator[tuple[Session, datetime, Refusal]]:
    """Yield the sessions of one account, admitted since then, that the new quota would have refused and the old one
    admits: with the instant, and the refusal. What is refused takes no place of a later one."""
    kept: list[Session] = []
    for at, session in sorted(_admissions(sessions), key=lambda one: (one[0], one[1].id)):
        usage = usage_at(kept, at)
        refusal = _refusal(session, new, usage)
        if refusal is None or at < since or _refusal(session, old, usage) is not None:
            kept.append(session)
        else:
            yield session, at, refusal


def usage_at(sessions: Sequence[Session], at: datetime) -> Usage:
    """Return what these sessions used of a quota just before then."""
    there = [one for one in sessions if one.deleted_at is None or one.deleted_at > at]
    active = [one for one in there if one.starting_at is not None and _ends(one, at)]
    return Usage(total=len(there), concurrent=len(active), nodes=sum(one.nodes for one in active))


def _ends(session: Session, at: datetime) -> bool:
    return session.ended_at is None or session.ended_at > at


def _admissions(sessions: Sequence[Session]) -> Iterator[tuple[datetime, Session]]:
    """Yield when each session took its place. One that moved to another provider started before it first ran."""
    for one in sessions:
        if one.starting_at is None:
            yield one.created_at, one
        else:
            moved = one.running_at is not None and one.running_at < one.starting_at
            yield (one.created_at if moved else one.starting_at), one


def _refusal(session: Session, terms: AccountTerms, usage: Usage) -> Refusal | None:
    if session.starting_at is None:
        return check_total(terms, usage)
    return (
        check_nodes(terms, None, session.nodes)
        or check_total(terms, usage)
        or check_nodes_total(terms, usage, session.nodes)
        or check_concurrent(terms, usage)
    )
