"""Named queries over credentials: which one a placement may take, and which are used by a lifecycle call now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from orchestrator.rules.upstream.alarms import Alarm
from orchestrator.rules.values import Credential
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.availability import carries_no_more_than_it_may, lease_over, takes_placement
from orchestrator.store.queries.living import UNENDED
from orchestrator.store.queries.rate_limits import MODEL_WAITS
from orchestrator.store.queries.refused_keys import is_still_refused

CREDENTIALS = table_of("credentials")
ALARMS = table_of("alarms")
_PLACEMENTS = table_of("placements")
_AT = CREDENTIALS.c.lease_until.type
#: The shared credentials of a provider that may carry a new placement; built once, as it comes with each.
_SHARED = (
    select(CREDENTIALS)
    .where(
        takes_placement(
            bindparam("at", type_=String()),
            bindparam("now", type_=_AT),
            bindparam("of_model", type_=String()),
            None,
            (),
            bindparam("lease_over", type_=_AT),
        ),
        ~CREDENTIALS.c.exclusive,
    )
    .order_by(CREDENTIALS.c.id)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """What was open against secrets that have been replaced, as it was."""

    freed: Sequence[Credential]
    """Credentials that were paused."""
    ended: Sequence[Alarm]


class Credentials:
    """Queries and changes of credentials, inside one transaction. Their locks are taken last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(
        self,
        provider: str,
        now: datetime,
        *,
        model_id: str = "",
        ref: str | None = None,
        excluding: Collection[str] = (),
    ) -> Credential | None:
        """Return the least recently used exclusive credential of `provider` that may carry a new placement, or None.

        It carries at most one unclosed placement; paused, resting and retired ones carry none. The first attempt skips
        locked ones, so that two admissions take different ones; the second waits for them."""
        for skip_locked in (True, False):
            usable = and_(takes_placement(provider, now, model_id, ref, excluding), CREDENTIALS.c.exclusive)
            taken = self._take(usable, now, skip_locked=skip_locked)
            if taken is not None:
                return taken
        return None

    def share(
        self,
        provider: str,
        now: datetime,
        lot: int,
        *,
        model_id: str = "",
        ref: str | None = None,
        excluding: Collection[str] = (),
    ) -> Credential | None:
        """Return one of the shared credentials of `provider` that may carry a new placement, or None.

        Its row is neither written nor locked, so others may take it at the same moment. `lot`, any number, spreads
        placements over the credentials."""
        query = _SHARED
        if ref is not None:
            query = query.where(CREDENTIALS.c.ref == ref)
        if excluding:
            query = query.where(CREDENTIALS.c.ref.not_in(excluding))
        given = {"at": provider, "now": now, "of_model": model_id, "lease_over": lease_over(now)}
        found = self._connection.execute(query, given).all()
        return snapshot(Credential, found[lot % len(found)]) if found else None

    def free(self, provider: str, now: datetime, limit: int) -> Sequence[str]:
        """Return references of credentials that may carry a new placement of some model now, the least recently used
        first."""
        usable = select(CREDENTIALS.c.ref).where(takes_placement(provider, now, "", None, ()))
        in_order = usable.order_by(CREDENTIALS.c.last_used_at.asc().nulls_first(), CREDENTIALS.c.id)
        return list(self._connection.execute(in_order.limit(limit)).scalars())

    def takes_placements(self, provider: str, ref: str) -> bool:
        """Return whether the credential may carry a placement at all, whatever it carries now."""
        mine = CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref
        may = CREDENTIALS.c.retired.is_(False), CREDENTIALS.c.paused_since.is_(None)
        return self._connection.execute(select(CREDENTIALS.c.id).where(*mine, *may)).first() is not None

    def free_at(
        self, providers: Collection[str], now: datetime, *, model_id: str = "", ref: str | None = None
    ) -> Sequence[datetime]:
        """Return when each credential may carry a new placement of this model, for those that only have to wait."""
        mine = and_(CREDENTIALS.c.provider.in_(providers), carries_no_more_than_it_may())
        alone = and_(
            MODEL_WAITS.c.provider == CREDENTIALS.c.provider,
            MODEL_WAITS.c.credential == CREDENTIALS.c.ref,
            MODEL_WAITS.c.model_id == model_id,
            MODEL_WAITS.c.until > now,
        )
        waits = CREDENTIALS.c.resting_until, CREDENTIALS.c.cool_until, MODEL_WAITS.c.until
        both = CREDENTIALS.outerjoin(MODEL_WAITS, alone)
        query = select(*waits).select_from(both).where(mine, or_(*(at > now for at in waits)))
        if ref is not None:
            query = query.where(CREDENTIALS.c.ref == ref)
        return [max(at for at in row if at is not None) for row in self._connection.execute(query)]

    def release(self, provider: str, ref: str | None, token: str, now: datetime, rest_seconds: float) -> None:
        """Give back the lease on a credential's lifecycle calls. After a take-over of the lease, the credential rests
        first."""
        mine = and_(
            CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.lease_token == token
        )
        resting = and_(mine, CREDENTIALS.c.resting_until > now)
        rested = now + timedelta(seconds=rest_seconds)
        self._connection.execute(update(CREDENTIALS).where(resting).values(resting_until=rested))
        self._connection.execute(update(CREDENTIALS).where(mine).values(lease_token=None, lease_until=None))

    def pause(self, provider: str, ref: str, reason: str, now: datetime) -> bool:
        """Pause the key until a check or an operator resumes it: it takes no new placement, and closes continue. Return
        False if it was paused already."""
        mine = and_(
            CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.paused_since.is_(None)
        )
        paused = update(CREDENTIALS).where(mine).values(paused_since=now, paused_reason=reason)
        return self._connection.execute(paused).rowcount == 1

    def unpause(self, provider: str, ref: str) -> bool:
        """Resume the key. Return False if it was not paused."""
        mine = and_(
            CREDENTIALS.c.provider == provider,
            CREDENTIALS.c.ref == ref,
            CREDENTIALS.c.paused_since.is_not(None),
        )
        freed = update(CREDENTIALS).where(mine).values(paused_since=None, paused_reason=None, checked_at=None)
        return self._connection.execute(freed).rowcount == 1

    def rate_limit(self, provider: str, ref: str, until: datetime) -> None:
        """Save the rate limit of the whole key, unless it has a longer one."""
        mine = and_(CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref)
        shorter = or_(CREDENTIALS.c.cool_until.is_(None), CREDENTIALS.c.cool_until < until)
        self._connection.execute(update(CREDENTIALS).where(mine, shorter).values(cool_until=until))

    def rate_limited_until(self, provider: str, ref: str | None, now: datetime) -> datetime | None:
        """Return until when the whole key is rate-limited; None if it is not."""
        mine = CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref, CREDENTIALS.c.cool_until > now
        return self._connection.execute(select(CREDENTIALS.c.cool_until).where(*mine)).scalar()

    def start_cooldown(self, provider: str, ref: str, until: datetime) -> None:
        """Put the key into cooldown until then, without new placements, unless its cooldown is longer already."""
        mine = and_(CREDENTIALS.c.provider == provider, CREDENTIALS.c.ref == ref)
        shorter = or_(CREDENTIALS.c.resting_until.is_(None), CREDENTIALS.c.resting_until < until)
        self._connection.execute(update(CREDENTIALS).where(mine, shorter).values(resting_until=until))

    def claim_paused_to_check(
        self, provider: str, since: datetime, now: datetime, *, lacking: Collection[str] = ()
    ) -> Sequence[Credential]:
        """Return paused credentials of `provider` that were not tried since then, and mark them as tried now. Those in
        `lacking` are left to other workers. A key that is refused by its newest pings is not tried."""
        mine = and_(
            CREDENTIALS.c.provider == provider,
            CREDENTIALS.c.ref.not_in(lacking),
            CREDENTIALS.c.paused_since.is_not(None),
            CREDENTIALS.c.retired.is_(False),
            func.coalesce(CREDENTIALS.c.checked_at, CREDENTIALS.c.paused_since) <= since,
            ~is_still_refused(),
        )
        tried = update(CREDENTIALS).where(mine).values(checked_at=now)
        return [snapshot(Credential, row) for row in self._connection.execute(tried.returning(CREDENTIALS))]

    def sync(self, wanted: Mapping[str, Credential]) -> "Cleared":
        """Make the rows match the configuration. A credential that it no longer names is retired, and only serves
        closes.

        A changed secret is no longer paused, and its alarms end; placements keep the fingerprint of the secret they
        were opened with. Return what was open against the old secrets, each once."""
        freed: list[Credential] = []
        ended: list[Alarm] = []
        known = {row.id: snapshot(Credential, row) for row in self._connection.execute(select(CREDENTIALS))}
        for credential_id, credential in sorted(wanted.items()):
            if credential_id not in known:
                self._connection.execute(insert(CREDENTIALS).values(**values_of(credential)))
                continue
            before = known[credential_id]
            if self._update(before, credential):
                ended += self._end_alarms(credential)
                freed += [before] if self.unpause(credential.provider, credential.ref) else []
        gone = sorted(set(known) - set(wanted))
        if gone:
            self._connection.execute(
                update(CREDENTIALS).where(CREDENTIALS.c.id.in_(gone)).values(retired=True)
            )
        return Cleared(freed=freed, ended=ended)

    def listed(self) -> Sequence[Credential]:
        """Return all credentials, by provider."""
        query = select(CREDENTIALS).order_by(CREDENTIALS.c.provider, CREDENTIALS.c.ref)
        return [snapshot(Credential, row) for row in self._connection.execute(query)]

    def paused(self) -> dict[str, int]:
        """Return provider → paused credentials, if there is one."""
        paused = CREDENTIALS.c.paused_since.is_not(None)
        query = (
            select(CREDENTIALS.c.provider, func.count().label("n"))
            .where(paused)
            .group_by(CREDENTIALS.c.provider)
        )
        return {row.provider: row.n for row in self._connection.execute(query)}

    def in_use(self) -> dict[tuple[str, str], int]:
        """Return (provider, reference) → number of placements that have not ended."""
        key = _PLACEMENTS.c.provider, _PLACEMENTS.c.credential
        query = select(*key, func.count().label("n")).where(UNENDED).group_by(*key)
        return {(row.provider, row.credential): row.n for row in self._connection.execute(query)}

    def _take(self, usable: ColumnElement[bool], now: datetime, *, skip_locked: bool) -> Credential | None:
        free = (
            select(CREDENTIALS.c.id)
            .where(usable)
            .order_by(CREDENTIALS.c.last_used_at.asc().nulls_first(), CREDENTIALS.c.id)
            .limit(1)
            .with_for_update(skip_locked=skip_locked, of=CREDENTIALS)
        )
        taken = (
            update(CREDENTIALS)
            .where(CREDENTIALS.c.id == free.scalar_subquery())
            .values(last_used_at=now)
            .returning(CREDENTIALS)
        )
        row = self._connection.execute(taken).first()
        return snapshot(Credential, row) if row else None

    def _update(self, known: Credential, wanted: Credential) -> bool:
        """Update the row. Return True if the reference now leads to another secret."""
        unseen = wanted.fingerprint == ""  # a worker without the secret cannot see whether it changed
        self._connection.execute(
            update(CREDENTIALS)
            .where(CREDENTIALS.c.id == wanted.id)
            .values(
                exclusive=wanted.exclusive,
                serialised=wanted.serialised,
                retired=wanted.retired,
                fingerprint=known.fingerprint if unseen else wanted.fingerprint,
            )
        )
        return not unseen and known.fingerprint != wanted.fingerprint

    def _end_alarms(self, credential: Credential) -> list[Alarm]:
        """End the alarms about the old secret: they do not concern the new one."""
        mine = ALARMS.c.provider == credential.provider, ALARMS.c.credential == credential.ref
        gone = delete(ALARMS).where(*mine).returning(ALARMS)
        return [snapshot(Alarm, row) for row in self._connection.execute(gone)]
