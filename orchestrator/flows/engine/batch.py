"""Work on due rows, one by one or together: a row that fails is postponed, and the others continue."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from orchestrator.flows.engine.crowd import AccountBusy, StopsFirst
from orchestrator.flows.engine.services import Services
from orchestrator.store.database import StoreOutage
from orchestrator.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

#: A row is postponed by this when its step raises.
PUT_OFF = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Counts of one run of a flow."""

    claimed: int = 0
    settled: int = 0
    failed: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Return the counts of both."""
        return Tally(
            claimed=self.claimed + other.claimed,
            settled=self.settled + other.settled,
            failed=self.failed + other.failed,
        )


def each(
    services: Services,
    items: Iterable[T],
    work: Callable[[Transaction, T], Any],
    put_off: Callable[[Transaction, T], None],
) -> Tally:
    """Do `work` for each item in a transaction of its own. Log and postpone an item that raises. An item stays due if
    its account is locked, or has many stops that come first."""
    claimed = settled = 0
    for item in items:
        if services.slots.closed:  # this process leaves: it holds nothing, and due rows stay due
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
        raise  # the database failed, not the row: the next tick tries again
    except (StopsFirst, AccountBusy):
        return False
    except Exception:  # a defect in one row must not keep the others from being stopped
        log.exception("work on %r failed; it is retried later", item)
        services.database.transact(lambda tx: put_off(tx, item))
        return False
    return True


def together(
    services: Services,
    items: Sequence[T],
    work: Callable[[Transaction, Sequence[T]], Any],
    put_off: Callable[[Transaction, T], None],
) -> Tally:
    """Do `work` for several items in one transaction. Where it raises, do each half by itself, so that at last only an
    item that raises on its own is logged and postponed."""
    if not items or services.slots.closed:
        return Tally()
    try:
        services.database.transact(lambda tx: work(tx, items))
    except StoreOutage:
        raise
    except Exception as error:
        if len(items) == 1:
            log.exception("work on %r failed; it is retried later", items[0])
            services.database.transact(lambda tx: put_off(tx, items[0]))
            return Tally(claimed=1, failed=1)
        log.debug("work on %d rows at once failed: %s", len(items), type(error).__name__)
        halves = items[: len(items) // 2], items[len(items) // 2 :]
        first, second = (together(services, half, work, put_off) for half in halves)
        return first + second
    return Tally(claimed=len(items), settled=len(items))


def until_done(services: Services, batch: Callable[[Transaction], int]) -> int:
    """Run batches, each in a short transaction of its own, and return the sum of what they did. Stop at a batch that
    did nothing or has stops that come first, and when the process leaves."""

    def once(tx: Transaction) -> int:
        return batch(tx)

    done = 0
    with suppress(StopsFirst):
        while not services.slots.closed and (gone := services.database.transact(once)):
            done += gone
    return done
