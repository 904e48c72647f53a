"""Compare a provider's list with our rows: what to adopt, what to close, and what has ended there.

Lists lag, clocks differ and answers are wrong at times. So nothing that a second list could refute is done at once."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from orchestrator.rules.reconcile.installations import Maker, maker_of
from orchestrator.rules.reconcile.lists import (
    Action,
    Difference,
    KnownPlacement,
    ListedResource,
    ReconcileInput,
    ReconcilePolicy,
)
from orchestrator.rules.states import UNENDED, PlacementState

#: States of an open that was sent, with an unknown outcome.
_UNSURE = frozenset({PlacementState.OPENING, PlacementState.UNKNOWN})


def compare(picture: ReconcileInput, terms: ReconcilePolicy) -> list[Difference]:
    """Return every difference between list and rows. A foreign resource is not a difference."""
    return [*_unknown_resources(picture, terms), *_missing(picture, terms)]


def too_many(
    findings: Sequence[Difference], picture: ReconcileInput, *, elsewhere: int, few: int, max_share: float
) -> str | None:
    """Return why nothing here may be touched: a list that contradicts most of our rows is probably wrong. `elsewhere`:
    how many of our rows the lists of this provider's other keys lack."""
    gone = elsewhere + sum(one.missing for one in findings)
    live = sum(one.state is PlacementState.OPEN for one in picture.ours)
    if gone > max(few, max_share * live):
        return f"{gone} of {live} live sessions are missing from its lists"
    strange = sum(
        not one.missing and not one.certain and one.kind not in (Action.ADOPT, Action.REPORT)
        for one in findings
    )
    listed = sum(not one.foreign for one in picture.listed)
    if strange > max(few, max_share * listed):
        return f"{strange} of the {listed} that it lists are not known here"
    return None


def _unknown_resources(picture: ReconcileInput, terms: ReconcilePolicy) -> Iterator[Difference]:
    known = {
        handle.casefold()
        for one in picture.ours
        for handle in (one.handle, one.candidate)
        if handle is not None
    }
    behind = _clock_offset(picture)
    for live in picture.listed:
        if live.foreign or live.handle.casefold() in known:
            continue
        finding = _unknown_resource(live, picture, terms, behind)
        if finding is not None:
            yield finding


def _unknown_resource(
    live: ListedResource, picture: ReconcileInput, terms: ReconcilePolicy, offset: timedelta | None
) -> Difference | None:
    since = min(picture.strangers.get(live.handle, picture.asked_at), picture.asked_at)
    named = terms.names_create and live.name is not None
    origin = _origin(live, picture, named=named)
    maker = _maker(live, origin, terms)
    if maker in (Maker.PERSON, Maker.ANOTHER):
        return None
    if origin is None and not named:
        rivals = [one for one in picture.ours if _may_be(one, since + terms.list_takes)]
        if rivals:
            return _perhaps(rivals, live, picture, terms, since)
    elif origin is not None and origin.state in _UNSURE:
        return _of_lost_open(origin, live, since)
    if live.ended:
        return None  # it costs nothing, and some lists keep it for ever
    if maker is Maker.UNMARKED and origin is None:
        return _of_unknown_maker(live, since)
    return _orphan(origin, live, picture, terms, _age(live, since, picture.asked_at, terms, offset), since)


def _orphan(
    origin: KnownPlacement | None,
    live: ListedResource,
    picture: ReconcileInput,
    terms: ReconcilePolicy,
    age: timedelta,
    since: datetime,
) -> Difference:
    certain = origin is not None and origin.state not in UNENDED
    if origin is not None and origin.ended_at is not None:
        age = picture.asked_at - origin.ended_at  # lists go on showing it for a while after its close
    if age < terms.min_age:
        kind, why = (
            Action.WAIT,
            f"not known here, and perhaps younger than {terms.min_age.total_seconds():g} s",
        )
    elif not terms.closes_by_id:
        kind, why = Action.REPORT, "not known here, and nothing here can be closed by its id"
    else:
        kind, why = Action.CLOSE, "it lives there after its end here" if certain else "not known here"
    return Difference(
        kind=kind,
        why=why,
        handle=live.handle,
        placement_id=origin.id if origin else None,
        since=since,
        certain=certain,
        live=live,
    )


def _of_lost_open(origin: KnownPlacement, live: ListedResource, since: datetime) -> Difference:
    """Return what to do with a resource with the name of an open that has an unknown outcome."""
    waits = origin.leased or origin.sent_at is None
    return Difference(
        kind=Action.WAIT if waits else Action.ADOPT,
        why="its open is under way" if waits else "it bears the name of an open that lost its answer",
        handle=live.handle,
        placement_id=origin.id,
        session_id=origin.session_id,
        since=since,
        certain=True,
        live=live,
    )


def _perhaps(
    rivals: Sequence[KnownPlacement],
    live: ListedResource,
    picture: ReconcileInput,
    terms: ReconcilePolicy,
    since: datetime,
) -> Difference:
    """Wait for the resolve of a lost open that may have made this resource, and make that resolve due.

    The resolve itself decides what is its own, once everything that the open made must be listed."""
    [first, *others] = rivals
    assert first.sent_at is not None
    is_time = picture.asked_at >= first.sent_at + terms.resolve_after
    adopts = not others and is_time and not first.leased
    return Difference(
        kind=Action.ADOPT if adopts else Action.WAIT,
        why="the outcome of an open is not known, and this may be its own",
        handle=live.handle,
        placement_id=first.id,
        session_id=first.session_id,
        since=since,
        live=live,
    )


def _may_be(one: KnownPlacement, seen: datetime) -> bool:
    """Return whether this open may have made it: not if it was seen before the open was sent. The age that the platform
    reports proves nothing."""
    return one.state in _UNSURE and one.sent_at is not None and one.sent_at <= seen


def _origin(live: ListedResource, picture: ReconcileInput, *, named: bool) -> KnownPlacement | None:
    """Return the placement that made it, by its name or its handle."""
    rows = [*picture.ours, *picture.ended]
    by_name = (one for one in rows if named and one.id == live.name)
    by_handle = (one for one in picture.ended if one.handle == live.handle)
    return next(by_name, None) or next(by_handle, None)


def _maker(live: ListedResource, origin: KnownPlacement | None, terms: ReconcilePolicy) -> Maker:
    """Return who made the resource, by its name. One with a row of ours is ours, however its name begins. Where
    resources have no names, only we use the key."""
    if not terms.names_create or live.name is None or (origin is not None and origin.id == live.name):
        return Maker.US
    return maker_of(live.name, terms.installation)


def _of_unknown_maker(live: ListedResource, since: datetime) -> Difference:
    why = "its name is from a release without installation ids: perhaps another installation's"
    return Difference(kind=Action.REPORT, why=why, handle=live.handle, since=since, live=live)


def _age(
    live: ListedResource,
    since: datetime,
    asked_at: datetime,
    terms: ReconcilePolicy,
    offset: timedelta | None,
) -> timedelta:
    """Return the least age of the resource: since we first saw it, or by the platform's time as far as its clock is
    known."""
    seen = asked_at - since
    if live.opened_at is None:
        return seen
    return max(seen, asked_at - live.opened_at + (-terms.clock_skew if offset is None else offset))


def _clock_offset(picture: ReconcileInput) -> timedelta | None:
    """Return by how much, at least, the platform's clock is ahead of ours. Our own resources in the list show it: none
    was opened after we had settled its open."""
    settled = {
        one.handle: one.opened_at
        for one in picture.ours
        if one.handle is not None and one.opened_at is not None
    }
    offsets = [
        live.opened_at - settled[live.handle]
        for live in picture.listed
        if live.opened_at is not None and live.handle in settled
    ]
    return max(offsets, default=None)


def _missing(picture: ReconcileInput, terms: ReconcilePolicy) -> Iterator[Difference]:
    shown = {live.handle.casefold(): live for live in picture.listed}
    for one in picture.ours:
        if one.state is not PlacementState.OPEN or not one.covered or one.handle is None:
            continue
        live = shown.get(one.handle.casefold())
        young = one.opened_at is None or picture.asked_at - one.opened_at < terms.min_age
        if young or (live is not None and not live.ended):
            continue
        yield _gone(one, one.handle, live, picture, terms)


def _gone(
    one: KnownPlacement,
    handle: str,
    live: ListedResource | None,
    picture: ReconcileInput,
    terms: ReconcilePolicy,
) -> Difference:
    since = min(picture.missing.get(handle, picture.asked_at), picture.asked_at)
    why = "its list has it no more" if live is None else "its list says that it has ended"
    kind = Action.END
    if one.alive_at is not None and one.alive_at >= since:
        kind, why, since = Action.WAIT, f"{why}, yet it has answered since", picture.asked_at
    elif picture.asked_at - since < terms.confirm_after:
        kind, why = Action.WAIT, f"{why}: to be confirmed by the next list"
    return Difference(
        kind=kind,
        why=why,
        handle=handle,
        placement_id=one.id,
        session_id=one.session_id,
        since=since,
        missing=True,
        live=live,
    )
