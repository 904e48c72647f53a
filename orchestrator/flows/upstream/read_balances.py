"""Read the balances of our accounts at providers. An empty one stops every session there, and pings do not warn in
time."""

import asyncio
import logging
from contextlib import suppress

from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.leases import take_turn
from orchestrator.flows.engine.services import Services
from orchestrator.flows.upstream.alarms import RECOVERED
from orchestrator.providers.port.abilities import HasBalance
from orchestrator.providers.port.driver import Balance
from orchestrator.providers.port.errors import ProviderError
from orchestrator.rules.billing.money import MICRO
from orchestrator.rules.events import Event
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.database import StoreOutage
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: A balance that has fallen below the provider's bound.
LOW = "orchestrator.provider.low_balance"
#: One worker reads them in this time. Seconds.
LEASE, LEASE_SECONDS = "read_balances", 55.0
TIMEOUT = 30.0


def read_balances(services: Services) -> Tally:
    """Read the balance of every provider that reports one. Announce once that it has become low, and once that it has
    recovered."""
    if not take_turn(services, LEASE, LEASE_SECONDS):
        return Tally()
    names = [name for name, driver in services.drivers.items() if isinstance(driver, HasBalance)]
    read = [_read(services, name) for name in names]
    return Tally(claimed=len(names), settled=read.count(True), failed=read.count(None))


def _read(services: Services, name: str) -> bool | None:
    """Return whether the balance was read; None after an unexpected failure, so that the others are read all the
    same."""
    try:
        balance = services.loop.run(_ask(services, name))
        if balance is not None:
            services.database.transact(lambda tx: _keep(services, tx, name, balance))
    except StoreOutage:
        raise  # the database, not the provider: the next tick tries again
    except Exception:
        log.exception("the balance at %s cannot be read", name)
        return None
    return balance is not None


async def _ask(services: Services, name: str) -> Balance | None:
    """Ask with each key in turn, until one is answered."""
    driver = services.drivers[name]
    refs = services.config.providers[name].credentials
    assert isinstance(driver, HasBalance)
    with suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT):
            for ref in refs or (None,):
                with suppress(ProviderError):  # this key is refused: another may work
                    return await driver.balance(services.secret(ref))
    return None  # the age of the last balance that was read shows it


def _keep(services: Services, tx: Transaction, name: str, balance: Balance) -> None:
    driver = services.drivers[name]
    assert isinstance(driver, HasBalance)
    amount = balance.amount.quantize(MICRO)
    is_low = amount < driver.low_balance_below
    was_low = tx.meters.note_balance(name, amount, balance.currency, tx.now(), is_low=is_low)
    if was_low is is_low:
        return
    data = {
        "provider": name,
        "balance": money_text(amount),
        "currency": balance.currency,
        "low_below": money_text(driver.low_balance_below),
    }
    kind, more = (LOW, {}) if is_low else (RECOVERED, {"kind": "low_balance"})
    tx.outbox.add([Event(type=kind, subject=name, data=data | more)])
