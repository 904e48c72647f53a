"""Compare each key's list at its provider with our rows, both ways. `rules/reconcile/compare.py` decides what follows.

A list under one key says nothing about another's, and one that fails decides nothing. No transaction is open while a
provider is asked; everything that is done is decided again on the rows as they are then.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.leases import held, take_turn, take_turn_within
from orchestrator.flows.engine.services import Services
from orchestrator.flows.reconcile import apply_differences
from orchestrator.flows.reconcile.ask_status import confirmed
from orchestrator.flows.reconcile.reports import Outcome, ReconcileOptions, ReconcileReport
from orchestrator.observability import metrics
from orchestrator.providers.port.driver import Listed
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.reconcile import compare as rule
from orchestrator.rules.reconcile.lists import Difference, ListedResource, ReconcileInput, ReconcilePolicy
from orchestrator.rules.text import is_usable_handle
from orchestrator.rules.values import ReconcileObservation
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Seconds: for one list, and how long a list is valid. One worker at a time reconciles a key, under a lease of the
#: latter.
LIST_TIMEOUT, LEASE_SECONDS = 60.0, 300.0
#: Seconds between two alarms of the same refusal.
ALARM_EVERY = 3600.0


def reconcile_due(services: Services) -> Tally:
    """Reconcile every due key with a secret here; other workers reconcile the others. A rate-limited key is not
    listed."""
    waiting = _rate_limited(services)
    due = [key for key in _keys(services) if key not in waiting and _take_turn(services, *key)]
    reports = [_reconcile_key(services, *key, ReconcileOptions()) for key in due]
    done = sum(outcome.done for report in reports for outcome in report.outcomes)
    return Tally(claimed=len(due), settled=done)


def reconcile(
    services: Services, options: ReconcileOptions, provider: str | None = None
) -> list[ReconcileReport]:
    """Reconcile now, by hand. A key without its secret here is reported as unknown."""
    lacking = [
        ReconcileReport(
            provider=name, credential=ref, problem=f"this process cannot resolve its secret {ref}"
        )
        for name, driver in services.drivers.items()
        if driver.card.status.can_list and provider in (None, name)
        for ref in sorted(services.lacking(name))
    ]
    keys = [key for key in _keys(services) if provider in (None, key[0])]
    return [*[_reconcile_key(services, *key, options) for key in keys], *lacking]


def _keys(services: Services) -> Iterator[tuple[str, str | None]]:
    for name, driver in services.drivers.items():
        if driver.card.status.can_list:
            refs: Sequence[str | None] = services.config.providers[name].all_credentials or (None,)
            lacking = services.lacking(name)
            yield from ((name, ref) for ref in refs if ref not in lacking)


def _rate_limited(services: Services) -> set[tuple[str, str | None]]:
    with services.database.reading() as tx:
        now = tx.now()
        keyless: set[tuple[str, str | None]] = {
            (provider, None) for provider in tx.rate_limits.of_providers(now)
        }
        keys = [one for one in tx.credentials.listed() if one.cool_until is not None and one.cool_until > now]
    return keyless | {(one.provider, one.ref) for one in keys}


def _take_turn(services: Services, provider: str, ref: str | None) -> bool:
    every = services.policy(provider).reconcile_every_seconds
    return take_turn(services, f"reconcile-every:{provider}:{ref}", every)


def _reconcile_key(
    services: Services, provider: str, ref: str | None, options: ReconcileOptions
) -> ReconcileReport:
    """Reconcile one key. A lease lets one worker do so at a time; a dry run takes none, for it writes nothing."""
    if options.dry_run:
        return _compare(services, provider, ref, options)
    with held(services, f"reconcile:{provider}:{ref}", LEASE_SECONDS) as mine:
        if mine:
            return _compare(services, provider, ref, options)
    return ReconcileReport(provider=provider, credential=ref, problem="another worker does it now")


def _compare(
    services: Services, provider: str, ref: str | None, options: ReconcileOptions
) -> ReconcileReport:
    begun = services.loop.time()
    asked_at = _now(services)
    listed = services.loop.run(_list(services, provider, ref))
    if isinstance(listed, str):
        return ReconcileReport(provider=provider, credential=ref, problem=listed)
    report = ReconcileReport(provider=provider, credential=ref, listed=len(listed))
    with services.database.reading() as tx:
        inputs = _inputs(services, tx, provider, ref, asked_at, listed)
        elsewhere = tx.observations.missing_elsewhere(provider, ref)
        reconcile_policy = _reconcile_policy(services, provider, tx.installation.known())
    findings = rule.compare(inputs, reconcile_policy)
    policy = services.policy(provider)
    share = policy.reconcile_max_share if options.max_share is None else options.max_share
    if share < 1:
        few = policy.reconcile_min_count
        refused = rule.too_many(findings, inputs, elsewhere=elsewhere, few=few, max_share=share)
        report = replace(report, refused=refused)
    if not options.dry_run:
        services.database.transact(lambda tx: _remember(tx, report, findings))
    if report.refused is None:
        findings = confirmed(services, provider, findings)
    too_late = services.loop.time() - begun > LEASE_SECONDS  # this process slept: the list is outdated
    idle = options.dry_run or too_late or report.refused is not None
    carry_out = apply_differences.carry_out
    outcomes = [
        Outcome(finding=one, done=not idle and carry_out(services, provider, ref, one)) for one in findings
    ]
    _measure(provider, outcomes)
    return replace(report, outcomes=outcomes)


async def _list(services: Services, provider: str, ref: str | None) -> list[ListedResource] | str:
    """Return what lives there under this key, or why there is no list."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            listed = await services.drivers[provider].list(services.secret(ref))
    except TimeoutError:
        return f"no list within {LIST_TIMEOUT:g} s"
    except ProviderError as error:
        return f"no list: {error}"
    except Exception as error:  # a defect of a driver, on an unexpected answer: it is no list
        log.exception("the list of %s failed", provider)
        return f"the list cannot be understood: {type(error).__name__}"
    if not all(is_usable_handle(one.handle) for one in listed):
        return "no list: the id of an entry is not plain text"
    return [_resource(one) for one in listed]


def _resource(one: Listed) -> ListedResource:
    return ListedResource(
        handle=one.handle,
        name=one.name,
        opened_at=one.opened_at,
        ends_at=one.ends_at,
        price_per_hour=one.price_per_hour,
        foreign=one.foreign,
        ended=one.life is not None and one.life.is_over,
    )


def _inputs(
    services: Services,
    tx: Transaction,
    provider: str,
    ref: str | None,
    asked_at: datetime,
    listed: Sequence[ListedResource],
) -> ReconcileInput:
    fingerprint = None if ref is None else services.secrets.fingerprint(ref)
    ours = tx.observations.unended(provider, ref, fingerprint, tx.now())
    known = {one.handle for one in ours}
    unknown = [one for one in listed if one.handle not in known and not one.foreign]
    names = {one.name for one in unknown if one.name is not None}
    before = tx.observations.of_key(provider, ref)
    handles = {one.handle for one in unknown}
    elsewhere = tx.observations.serving_under(_of_other_kinds(services, provider), provider, handles, names)
    return ReconcileInput(
        asked_at=asked_at,
        listed=[
            replace(one, foreign=one.foreign or bool({one.handle, one.name} & elsewhere)) for one in listed
        ],
        ours=ours,
        ended=tx.observations.ended_like(provider, handles, names, tx.now()),
        unknown_since={one.handle: one.since for one in before if not one.missing},
        missing_since={one.handle: one.since for one in before if one.missing},
    )


def _of_other_kinds(services: Services, provider: str) -> list[str]:
    """Return the providers with another driver: they cannot have sessions of this one. Two providers with one driver
    may share an account, and one that is no longer configured may have a new name."""
    drivers = {name: one.driver for name, one in services.config.providers.items()}
    return [name for name, driver in drivers.items() if driver != drivers[provider]]


def _reconcile_policy(services: Services, provider: str, installation: str | None) -> ReconcilePolicy:
    policy, card = services.policy(provider), services.drivers[provider].card
    lag = card.lifecycle.resolve_after_seconds or 0  # a new session may be missing from lists for this long
    return ReconcilePolicy(
        min_age=timedelta(seconds=max(policy.reconcile_min_age_seconds, lag)),
        confirm_after=timedelta(seconds=policy.reconcile_confirm_seconds),
        clock_skew=timedelta(seconds=policy.reconcile_clock_skew_seconds),
        resolve_after=timedelta(seconds=services.resolve_after(provider)),
        list_takes=timedelta(seconds=LIST_TIMEOUT),
        names_create=card.identity.names_create,
        installation=installation,
        closes_by_id=card.lifecycle.closes_by_id,
    )


def _remember(tx: Transaction, report: ReconcileReport, findings: Sequence[Difference]) -> None:
    """Save what this list leaves open, for the next list to confirm. A refused list is an alarm, once an hour."""
    provider, ref = report.provider, report.credential
    seen = {
        one.handle: ReconcileObservation(
            provider=provider, credential=ref or "", handle=one.handle, missing=one.missing, since=one.since
        )
        for one in findings
    }
    tx.observations.replace(provider, ref, list(seen.values()))
    alarm = f"reconcile-alarm:{provider}:{ref}"
    if report.refused is not None and take_turn_within(tx, alarm, ALARM_EVERY):
        data = {"provider": provider, "credential": ref, "reason": report.refused, "at": rfc3339(tx.now())}
        tx.outbox.add([Event(type="orchestrator.provider.reconcile_refused", subject=provider, data=data)])


def _measure(provider: str, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.done:
            metrics.RECONCILED.labels(provider, outcome.finding.action.value).inc()


def _now(services: Services) -> datetime:
    """Return the time before the list is asked for: what happens meanwhile is younger than the list."""
    with services.database.reading() as tx:
        return tx.now()
