"""Read what the providers' own accounts hold: an empty one stops every session there, and no ping says so in time."""

import asyncio

from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import Tally
from orchestrator.providers.driver import Balance, HasBalance
from orchestrator.providers.errors import ProviderError
from orchestrator.rules.events import Event
from orchestrator.rules.money import MICRO
from orchestrator.store.unit import Transaction

#: One worker reads them in this time. Seconds.
LEASE, LEASE_SECONDS = "read_balances", 55.0
TIMEOUT = 30.0


def read_balances(services: Services) -> Tally:
    """Ask every provider that tells its balance; one that has become low is told of, once."""
    holder = services.database.identity.new_token()
    if not services.database.transact(lambda tx: tx.leases.hold(LEASE, holder, tx.now(), LEASE_SECONDS)):
        return Tally()
    names = [name for name, driver in services.drivers.items() if isinstance(driver, HasBalance)]
    read = sum(_read(services, name) for name in names)
    return Tally(claimed=len(names), settled=read)


def _read(services: Services, name: str) -> bool:
    balance = services.loop.run(_ask(services, name))
    if balance is not None:
        services.database.transact(lambda tx: _keep(services, tx, name, balance))
    return balance is not None


async def _ask(services: Services, name: str) -> Balance | None:
    driver = services.drivers[name]
    refs = services.config.providers[name].credentials
    assert isinstance(driver, HasBalance)
    try:
        async with asyncio.timeout(TIMEOUT):
            return await driver.balance(services.secret(refs[0] if refs else None))
    except (ProviderError, TimeoutError):
        return None  # it shows as the age of what was read last


def _keep(services: Services, tx: Transaction, name: str, balance: Balance) -> None:
    driver = services.drivers[name]
    assert isinstance(driver, HasBalance)
    amount = balance.amount.quantize(MICRO)
    is_low = amount < driver.low_balance_below
    if tx.meters.note_balance(name, amount, balance.currency, tx.now(), is_low=is_low):
        data = {
            "provider": name,
            "balance": str(amount),
            "currency": balance.currency,
            "low_below": str(driver.low_balance_below),
        }
        tx.outbox.add([Event(type="orchestrator.provider.low_balance", subject=name, data=data)])
