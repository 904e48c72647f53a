"""Which keys and providers are available: new placements skip those that may take none (`takes_placement`), and claims
rows under a rate limit (`may_be_asked`).

A key may be retired, paused or rate-limited (as a whole, or for one model), resting after a lifecycle call, under the
lease of such a call, or carry as many placements as it may. A provider without keys may be rate-limited. `Credentials`
and `RateLimits` write all that. Brakes, and the cooldowns of one process, are decided elsewhere."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, or_

from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import UNENDED
from orchestrator.store.queries.rate_limits import MODEL_WAITS, WAITS

CREDENTIALS = table_of("credentials")
_ALARMS = table_of("alarms")
_PLACEMENTS = table_of("placements")
#: How long a late call may still be under way after the lease on its key has expired.
_LEASE_REST = timedelta(seconds=30)
#: The possible last digits of an id.
_DIGITS = "0123456789abcdef"


def takes_placement(
    provider: str | ColumnElement[str],
    now: datetime | ColumnElement[datetime],
    model_id: str | ColumnElement[str],
    ref: str | None,
    excluding: Collection[str],
    left: ColumnElement[datetime] | None = None,
) -> ColumnElement[bool]:
    """Select keys of a provider that may carry a new placement of this model now. `left`: `lease_over(now)`, where
    `now` is no value yet."""
    over = lease_over(now) if isinstance(now, datetime) else left
    conditions = [
        CREDENTIALS.c.provider == provider,
        carries_no_more_than_it_may(),
        or_(CREDENTIALS.c.resting_until.is_(None), CREDENTIALS.c.resting_until <= now),
        _is_not_rate_limited(model_id, now),
        ~_refuses(model_id),
        or_(CREDENTIALS.c.lease_until.is_(None), CREDENTIALS.c.lease_until <= over),
    ]
    if ref is not None:
        conditions.append(CREDENTIALS.c.ref == ref)
    if excluding:
        conditions.append(CREDENTIALS.c.ref.not_in(excluding))
    return and_(*conditions)


def lease_over(now: datetime) -> datetime:
    """Return by when a lease must have expired, so that no late call is under way now."""
    return now - _LEASE_REST


def _refuses(model_id: str | ColumnElement[str]) -> ColumnElement[bool]:
    """Select keys under which this model is paused."""
    return exists().where(
        _ALARMS.c.kind == AlarmKind.MODEL_PAUSED,
        _ALARMS.c.provider == CREDENTIALS.c.provider,
        _ALARMS.c.credential == CREDENTIALS.c.ref,
        _ALARMS.c.model_id == model_id,
        _ALARMS.c.retry_at.is_not(None),
    )


def carries_no_more_than_it_may() -> ColumnElement[bool]:
    """Select keys that may carry one more placement, except that they may still have to rest."""
    return and_(
        CREDENTIALS.c.retired.is_(False),
        CREDENTIALS.c.paused_since.is_(None),
        or_(CREDENTIALS.c.exclusive.is_(False), ~_carries_one()),
    )


def _carries_one() -> ColumnElement[bool]:
    """Select keys that carry a placement, by their reference, or by their secret under another reference or provider:
    the platform knows only the secret."""
    by_ref = exists().where(
        _PLACEMENTS.c.provider == CREDENTIALS.c.provider,
        _PLACEMENTS.c.credential == CREDENTIALS.c.ref,
        _PLACEMENTS.c.session_id.is_not(None),
        UNENDED,
    )
    by_secret = exists().where(
        _PLACEMENTS.c.exclusive.is_(True),  # these are few: one for each such key
        _PLACEMENTS.c.fingerprint == CREDENTIALS.c.fingerprint,
        _PLACEMENTS.c.fingerprint != "",
        _PLACEMENTS.c.session_id.is_not(None),
        UNENDED,
    )
    return or_(by_ref, by_secret)


def may_be_asked(
    provider: ColumnElement[str],
    ref: ColumnElement[str | None],
    model: ColumnElement[str],
    *,
    row: ColumnElement[str],
) -> ColumnElement[bool]:
    """Select, for claims, the rows without a rate limit: on their key, on their model under it, or on a provider
    without keys. Databases can plan for each condition. Execute it with `moments`.

    Rows that waited together go one after another, within some seconds of the end of the wait: each `row` at a moment
    of its own, by its id. Otherwise the first second after a Retry-After would bring the next one."""
    mine = moment_of(row)
    key = exists().where(
        CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.cool_until > mine
    )
    whole = exists().where(ref.is_(None), WAITS.c.provider == provider, WAITS.c.until > mine)
    alone = exists().where(
        MODEL_WAITS.c.provider == provider,
        MODEL_WAITS.c.credential == func.coalesce(ref, ""),
        MODEL_WAITS.c.model_id == model,
        MODEL_WAITS.c.until > mine,
    )
    return and_(~key, ~whole, ~alone)


def _is_not_rate_limited(
    model_id: str | ColumnElement[str], now: datetime | ColumnElement[datetime]
) -> ColumnElement[bool]:
    """Select keys without a rate limit, as a whole or for this model."""
    with_this = MODEL_WAITS.c.model_id == model_id, MODEL_WAITS.c.until > now
    waits = exists().where(
        MODEL_WAITS.c.provider == CREDENTIALS.c.provider,
        MODEL_WAITS.c.credential == CREDENTIALS.c.ref,
        *with_this,
    )
    return and_(or_(CREDENTIALS.c.cool_until.is_(None), CREDENTIALS.c.cool_until <= now), ~waits)


def moment_of(row: ColumnElement[str], name: str = "wait") -> ColumnElement[datetime]:
    """Return the latest end of a wait at which this row may go: the parameter of `moments` that the last digit of the
    row's random id selects."""
    kind = CREDENTIALS.c.cool_until.type
    each = {digit: bindparam(f"{name}_{digit}", type_=kind) for digit in _DIGITS}
    last = func.lower(func.substr(row, func.length(row), 1))
    return case(each, value=last, else_=bindparam(name, type_=kind))


def moments(now: datetime, spread_seconds: float, name: str = "wait") -> dict[str, datetime]:
    """Return the parameters of `moment_of`: moments spread over the seconds before `now`."""
    step = timedelta(seconds=spread_seconds) / len(_DIGITS)
    return {name: now} | {f"{name}_{digit}": now - n * step for n, digit in enumerate(_DIGITS)}
