"""Keys that a provider refuses or rate-limits: they take no new placements; closes continue."""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.services import Services
from orchestrator.flows.upstream import alarms
from orchestrator.providers.port.abilities import ChecksKey
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Credential, Placement, Policy
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: A paused key is retried this often. Seconds.
TRY_AGAIN_AFTER = 60.0
#: For one try.
TRY_TIMEOUT = 30.0


def pause_refused(
    tx: Transaction,
    placement: Placement,
    said: str,
    policy: Policy,
    now: datetime,
    *,
    since: datetime | None = None,
) -> None:
    """Pause this placement's key, which the provider refuses. A key that other live sessions use is paused for this
    model only. If those sessions use the same model, the key is not paused: only this session is refused.

    `since`: the first refusal; None: this one."""
    provider, ref = placement.provider, placement.credential
    if ref is None:
        return
    lately = now - timedelta(seconds=2 * policy.ping_interval_seconds)
    if placement.exclusive or not tx.sessions.has_live_session(provider, ref, lately):
        _pause(tx, provider, ref, said, now)
    elif _only_this_model(tx, placement, ref, since or lately):
        alarms.raise_alarm(tx, alarm(AlarmKind.MODEL_PAUSED, provider, ref, placement.model_id, said, now))


def _only_this_model(tx: Transaction, placement: Placement, ref: str, since: datetime) -> bool:
    """Return whether, since then, other models were alive under the key, and this model was not."""
    provider, model = placement.provider, placement.model_id
    others = tx.sessions.has_live_session(provider, ref, since)
    return others and not tx.sessions.has_live_session(provider, ref, since, model)


def _pause(tx: Transaction, provider: str, ref: str, said: str, now: datetime) -> None:
    if tx.credentials.pause(provider, ref, said, now):
        data = {"provider": provider, "credential": ref, "reason": said, "since": rfc3339(now)}
        paused = Event(type="orchestrator.provider.credential_paused", subject=provider, data=data)
        tx.outbox.add([paused])


def note_rate_limit(
    tx: Transaction, placement: Placement, seconds: float, now: datetime, *, whole_key: bool
) -> None:
    """Save a Retry-After. Every worker then delays all calls of this model under this key except closes; if the
    platform says so, all calls under the key, or of a provider without keys. At an attached endpoint it delays that one
    alone."""
    provider, ref = placement.provider, placement.credential
    if not 0 < seconds < math.inf or (ref is None and placement.attach is not None):  # NaN is neither
        return
    until = now + timedelta(seconds=seconds)
    if not whole_key:
        tx.rate_limits.limit_model(provider, ref, placement.model_id, until)
    elif ref is not None:
        tx.credentials.rate_limit(provider, ref, until)
    else:
        tx.rate_limits.limit_provider(provider, until)


def retry_paused(services: Services) -> Tally:
    """Retry every paused key; one that works takes placements again. Models paused under a working key are retried by
    the next session in need."""
    services.database.transact(alarms.let_retry)
    due = services.database.transact(lambda tx: _due(services, tx))
    freed = 0
    for credential in due:
        if _works(services, credential):
            freed += services.database.transact(lambda tx, c=credential: _free(tx, c))  # type: ignore[misc]
    return Tally(claimed=len(due), settled=freed)


def _due(services: Services, tx: Transaction) -> list[Credential]:
    now = tx.now()
    since = now - timedelta(seconds=TRY_AGAIN_AFTER)
    return [
        credential
        for provider in services.drivers
        for credential in tx.credentials.claim_paused_to_check(
            provider, since, now, lacking=services.lacking(provider)
        )
    ]


def _works(services: Services, credential: Credential) -> bool:
    driver = services.drivers.get(credential.provider)
    secret = services.secret(credential.ref)
    if driver is None or secret is None:
        return False
    if not isinstance(driver, ChecksKey):
        return True  # only a session can try this key

    async def check() -> bool:
        try:
            async with asyncio.timeout(TRY_TIMEOUT):
                await driver.check(secret)
        except (ProviderError, TimeoutError):
            return False
        except Exception:  # an unexpected answer of one provider keeps no other's key paused
            log.exception("cannot retry the key %s at %s", credential.ref, credential.provider)
            return False
        return True

    return services.loop.run(check())


def _free(tx: Transaction, credential: Credential) -> int:
    if not tx.credentials.unpause(credential.provider, credential.ref):
        return 0
    alarms.announce_freed_key(tx, credential, "it works again")
    return 1


def sync_credentials(services: Services) -> None:
    """Make the rows of credentials match the configuration; each worker does so as it starts."""
    wanted = _configured(services)
    services.database.transact(lambda tx: alarms.announce_cleared(tx, tx.credentials.sync(wanted)))


def _configured(services: Services) -> Mapping[str, Credential]:
    wanted = {}
    for name, provider in services.config.providers.items():
        card = services.card(name)
        for ref in provider.all_credentials:
            if card is None:
                continue
            fingerprint = services.secrets.fingerprint(ref)
            if fingerprint is None:
                log.error(
                    "cannot resolve the secret of providers.%s %s; this worker skips its rows", name, ref
                )
            wanted[f"{name}:{ref}"] = Credential(
                id=f"{name}:{ref}",
                provider=name,
                ref=ref,
                exclusive=card.identity.exclusive_credentials,
                serialised=card.identity.serialised,
                fingerprint=fingerprint or "",
                retired=ref in provider.retired_credentials,
            )
    return wanted
