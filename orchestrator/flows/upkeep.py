"""Housekeeping, and the guard that lets one bad row hold up nobody."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from orchestrator.flows import alarms
from orchestrator.flows.crowd import AccountBusy
from orchestrator.flows.overdue import StopsFirst
from orchestrator.flows.services import Services
from orchestrator.rules.values import Credential
from orchestrator.store.audit_findings import EVENTS_SINCE
from orchestrator.store.database import StoreOutage
from orchestrator.store.unit import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Outcomes of jobs are kept this long (contract).
KEEP_OUTCOMES = timedelta(days=30)
#: A row whose step raised is put off by this.
PUT_OFF = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What one run of a flow did."""

    claimed: int = 0
    settled: int = 0
    failed: int = 0


def each(
    services: Services,
    items: Iterable[T],
    work: Callable[[Transaction, T], Any],
    put_off: Callable[[Transaction, T], None],
) -> Tally:
    """Do `work` for each item in a transaction of its own. An item that raises is logged and put off; an item that must
    come after many stops of its account, or whose account is held, stays due."""
    claimed = settled = 0
    for item in items:
        if services.slots.closed:  # this process leaves; nothing is held, and what is due stays due
            break
        claimed += 1
        settled += _one(services, item, work, put_off)
    return Tally(claimed=claimed, settled=settled, failed=claimed - settled)


def _one(
    services: Services,
    item: T,
    work: Callable[[Transaction, T], Any],
    put_off: Callable[[Transaction, T], None],
) -> bool:
    try:
        services.database.transact(lambda tx: work(tx, item))
    except StoreOutage:
        raise  # the database, not the row: the next tick tries again
    except (StopsFirst, AccountBusy):
        return False
    except Exception:  # a defect in one row must not keep the others from being stopped
        log.exception("work on %r failed; it is put off", item)
        services.database.transact(lambda tx: put_off(tx, item))
        return False
    return True


def forget_old_outcomes(services: Services) -> int:
    """Drop the outcomes of jobs that are older than is promised, in batches, until none is left."""

    def forget(tx: Transaction) -> int:
        return tx.inbox.forget_before(tx.now() - KEEP_OUTCOMES)

    return until_done(services, forget)


def forget_old_events(services: Services) -> int:
    """Drop delivered events that nobody looks for any more, and remember up to when: the audit must know."""
    kept = timedelta(days=services.config.retention.events_days)

    def forget(tx: Transaction) -> int:
        now = tx.now()
        times = tx.outbox.forget_before(now - kept)
        if times:
            known = tx.findings.events_since()
            tx.findings.move({EVENTS_SINCE: max((*times, *([known] if known else ()))).isoformat()}, now)
        return len(times)

    return until_done(services, forget)


def until_done(services: Services, batch: Callable[[Transaction], int]) -> int:
    """Run each batch in a short transaction of its own, until one does nothing or has stops to come first; a process
    that leaves begins no other. Return the sum of what they did."""

    def once(tx: Transaction) -> int:
        return batch(tx)

    done = 0
    with suppress(StopsFirst):
        while not services.slots.closed and (gone := services.database.transact(once)):
            done += gone
    return done


def sync_credentials(services: Services) -> None:
    """Make the rows of credentials agree with the configuration; each worker does it as it starts."""
    wanted = _configured(services)
    services.database.transact(lambda tx: alarms.cleared(tx, tx.credentials.sync(wanted)))


def _configured(services: Services) -> Mapping[str, Credential]:
    wanted = {}
    for name, provider in services.config.providers.items():
        card = services.card(name)
        for ref in provider.all_credentials:
            if card is None:
                continue
            fingerprint = services.secrets.fingerprint(ref)
            if fingerprint is None:
                log.error("the secret of providers.%s %s is not here: its rows are left to others", name, ref)
            wanted[f"{name}:{ref}"] = Credential(
                id=f"{name}:{ref}",
                provider=name,
                ref=ref,
                exclusive=card.exclusive_credentials,
                serialised=card.serialised,
                fingerprint=fingerprint or "",
                retired=ref in provider.retired_credentials,
            )
    return wanted
