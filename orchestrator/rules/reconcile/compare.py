"""Compare a provider's list with our rows: what to adopt, what to close, and what has ended there.

Lists lag, clocks differ and answers are wrong at times. So nothing that a second list could refute is done at once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from orchestrator.rules.values import Placement, Session

#: States of an open that was sent, with an unknown outcome.
_UNSURE = frozenset({PlacementState.OPENING, PlacementState.UNKNOWN})


def compare(inputs: ReconcileInput, policy: ReconcilePolicy) -> list[Difference]:
    """Return every difference between list and rows. A foreign resource is not a difference."""
    return [*_unknown_resources(inputs, policy), *_missing(inputs, policy)]


def too_many(
    findings: Sequence[Difference], inputs: ReconcileInput, *, elsewhere: int, few: int, max_share: float
) -> str | None:
    """Return why nothing here may be touched: a list that contradicts most of our rows is probably wrong. `elsewhere`:
    how many of our rows the lists of this provider's other keys lack."""
    gone = elsewhere + sum(one.missing for one in findings)
    open_count = sum(one.state is PlacementState.OPEN for one in inputs.ours)
    if gone > max(few, max_share * open_count):
        return f"{gone} of {open_count} live sessions are missing from its lists"
    strange = sum(
        not one.missing and not one.certain and one.action not in (Action.ADOPT, Action.REPORT)
        for one in findings
    )
    listed = sum(not one.foreign for one in inputs.listed)
    if strange > max(few, max_share * listed):
        return f"{strange} of the {listed} that it lists are not known here"
    return None


def with_status(finding: Difference, said: str | None, *, is_over: bool, expired: bool) -> Difference:
    """Return the end of a session that its own status confirms; else it waits. `said`: what that status says; None: it
    could not be asked."""
    if said is None:
        return replace(finding, action=Action.WAIT, why=f"{finding.why}; nothing more could be asked")
    if not is_over:
        return replace(
            finding, action=Action.WAIT, why=f"{finding.why}, but its status does not say so: {said}"
        )
    return replace(finding, why=f"{finding.why}, and its status: {said}", expired=expired)


def is_unsure(placement: Placement, now: datetime) -> bool:
    """Return whether an open was sent, its outcome is not known, and no call of ours is finding it out."""
    leased = placement.lease is not None and placement.lease.until > now
    return placement.state in _UNSURE and not leased and placement.sent_at is not None


def still_serves(session: Session, placement: Placement, finding: Difference) -> bool:
    """Return whether the session is still served by what the list lacks, and has not answered since."""
    answered = session.last_alive_at is not None and session.last_alive_at > finding.since
    return placement.state is PlacementState.OPEN and placement.handle == finding.handle and not answered


def _unknown_resources(inputs: ReconcileInput, policy: ReconcilePolicy) -> Iterator[Difference]:
    known = {
        handle.casefold()
        for one in inputs.ours
        for handle in (one.handle, one.candidate)
        if handle is not None
    }
    offset = _clock_offset(inputs)
    for resource in inputs.listed:
        if resource.foreign or resource.handle.casefold() in known:
            continue
        finding = _unknown_resource(resource, inputs, policy, offset)
        if finding is not None:
            yield finding


def _unknown_resource(
    resource: ListedResource, inputs: ReconcileInput, policy: ReconcilePolicy, offset: timedelta | None
) -> Difference | None:
    since = min(inputs.unknown_since.get(resource.handle, inputs.asked_at), inputs.asked_at)
    named = policy.names_create and resource.name is not None
    origin = _origin(resource, inputs, named=named)
    maker = _maker(resource, origin, policy)
    if maker in (Maker.PERSON, Maker.ANOTHER):
        return None
    if origin is None and not named:
        rivals = [one for one in inputs.ours if _may_be(one, since + policy.list_takes)]
        if rivals:
            return _perhaps(rivals, resource, inputs, policy, since)
    elif origin is not None and origin.state in _UNSURE:
        return _of_lost_open(origin, resource, since)
    if resource.ended:
        return None  # it costs nothing, and some lists keep it for ever
    if maker is Maker.UNMARKED and origin is None:
        return _of_unknown_maker(resource, since)
    return _orphan(
        origin, resource, inputs, policy, _age(resource, since, inputs.asked_at, policy, offset), since
    )


def _orphan(
    origin: KnownPlacement | None,
    resource: ListedResource,
    inputs: ReconcileInput,
    policy: ReconcilePolicy,
    age: timedelta,
    since: datetime,
) -> Difference:
    certain = origin is not None and origin.state not in UNENDED
    if origin is not None and origin.ended_at is not None:
        age = inputs.asked_at - origin.ended_at  # lists keep showing it for a while after its close
    if age < policy.min_age:
        action, why = (
            Action.WAIT,
            f"not known here, and perhaps younger than {policy.min_age.total_seconds():g} s",
        )
    elif not policy.closes_by_id:
        action, why = Action.REPORT, "not known here, and this platform cannot close by id"
    else:
        action, why = (
            Action.CLOSE,
            "it is still live there after its end here" if certain else "not known here",
        )
    return Difference(
        action=action,
        why=why,
        handle=resource.handle,
        placement_id=origin.id if origin else None,
        since=since,
        certain=certain,
        resource=resource,
    )


def _of_lost_open(origin: KnownPlacement, resource: ListedResource, since: datetime) -> Difference:
    """Return what to do with a resource with the name of an open that has an unknown outcome."""
    waits = origin.leased or origin.sent_at is None
    return Difference(
        action=Action.WAIT if waits else Action.ADOPT,
        why="its open is under way" if waits else "it has the name of an open with a lost answer",
        handle=resource.handle,
        placement_id=origin.id,
        session_id=origin.session_id,
        since=since,
        certain=True,
        resource=resource,
    )


def _perhaps(
    rivals: Sequence[KnownPlacement],
    resource: ListedResource,
    inputs: ReconcileInput,
    policy: ReconcilePolicy,
    since: datetime,
) -> Difference:
    """Wait for the resolve of a lost open that may have made this resource, and make that resolve due.

    The resolve itself decides what is its own, once everything that the open made must be listed."""
    [first, *others] = rivals
    assert first.sent_at is not None
    is_time = inputs.asked_at >= first.sent_at + policy.resolve_after
    adopts = not others and is_time and not first.leased
    return Difference(
        action=Action.ADOPT if adopts else Action.WAIT,
        why="the outcome of an open is unknown, and this may be its session",
        handle=resource.handle,
        placement_id=first.id,
        session_id=first.session_id,
        since=since,
        resource=resource,
    )


def _may_be(one: KnownPlacement, seen: datetime) -> bool:
    """Return whether this open may have made it: not if it was seen before the open was sent. The age that the platform
    reports proves nothing."""
    return one.state in _UNSURE and one.sent_at is not None and one.sent_at <= seen


def _origin(resource: ListedResource, inputs: ReconcileInput, *, named: bool) -> KnownPlacement | None:
    """Return the placement that made it, by its name or its handle."""
    rows = [*inputs.ours, *inputs.ended]
    by_name = (one for one in rows if named and one.id == resource.name)
    by_handle = (one for one in inputs.ended if one.handle == resource.handle)
    return next(by_name, None) or next(by_handle, None)


def _maker(resource: ListedResource, origin: KnownPlacement | None, policy: ReconcilePolicy) -> Maker:
    """Return who made the resource, by its name. One with a row of ours is ours, however its name begins. Where
    resources have no names, only we use the key."""
    if (
        not policy.names_create
        or resource.name is None
        or (origin is not None and origin.id == resource.name)
    ):
        return Maker.US
    return maker_of(resource.name, policy.installation)


def _of_unknown_maker(resource: ListedResource, since: datetime) -> Difference:
    why = "its name is from a release without installation ids: perhaps another installation's"
    return Difference(action=Action.REPORT, why=why, handle=resource.handle, since=since, resource=resource)


def _age(
    resource: ListedResource,
    since: datetime,
    asked_at: datetime,
    policy: ReconcilePolicy,
    offset: timedelta | None,
) -> timedelta:
    """Return the least age of the resource: since we first saw it, or by the platform's time as far as its clock is
    known."""
    seen = asked_at - since
    if resource.opened_at is None:
        return seen
    return max(seen, asked_at - resource.opened_at + (-policy.clock_skew if offset is None else offset))


def _clock_offset(inputs: ReconcileInput) -> timedelta | None:
    """Return by how much, at least, the platform's clock is ahead of ours. Our own resources in the list show it: none
    was opened after we had settled its open."""
    settled = {
        one.handle: one.opened_at
        for one in inputs.ours
        if one.handle is not None and one.opened_at is not None
    }
    offsets = [
        resource.opened_at - settled[resource.handle]
        for resource in inputs.listed
        if resource.opened_at is not None and resource.handle in settled
    ]
    return max(offsets, default=None)


def _missing(inputs: ReconcileInput, policy: ReconcilePolicy) -> Iterator[Difference]:
    shown = {resource.handle.casefold(): resource for resource in inputs.listed}
    for one in inputs.ours:
        if one.state is not PlacementState.OPEN or not one.covered or one.handle is None:
            continue
        resource = shown.get(one.handle.casefold())
        young = one.opened_at is None or inputs.asked_at - one.opened_at < policy.min_age
        if young or (resource is not None and not resource.ended):
            continue
        yield _gone(one, one.handle, resource, inputs, policy)


def _gone(
    one: KnownPlacement,
    handle: str,
    resource: ListedResource | None,
    inputs: ReconcileInput,
    policy: ReconcilePolicy,
) -> Difference:
    since = min(inputs.missing_since.get(handle, inputs.asked_at), inputs.asked_at)
    why = "it is no longer in the list" if resource is None else "its list says that it has ended"
    action = Action.END
    if one.alive_at is not None and one.alive_at >= since:
        action, why, since = Action.WAIT, f"{why}, yet it has answered since", inputs.asked_at
    elif inputs.asked_at - since < policy.confirm_after:
        action, why = Action.WAIT, f"{why}: to be confirmed by the next list"
    return Difference(
        action=action,
        why=why,
        handle=handle,
        placement_id=one.id,
        session_id=one.session_id,
        since=since,
        missing=True,
        resource=resource,
    )
