"""Wake queued sessions that wait for something that is free already: the slow pass over queues.

Each flow that frees a slot, a key or funds wakes the next waiter itself. This pass covers changes of the configuration
file, and wake-ups lost to an error: a few in each pass, in turn."""

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import admission
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.rules.admission import quota
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import Session
from orchestrator.store.transaction import Transaction

#: Accounts, and free keys of each provider, in one pass.
AT_ONCE = 50


def wake_queues(services: Services, limit: int = AT_ONCE) -> int:
    """Wake the first session of each queue that its account no longer holds up, and one waiter for each free key;
    return how many accounts and keys were checked."""
    lot = int(services.database.identity.new_token(), 16)
    with services.database.reading() as tx:
        accounts = tx.queues.accounts_held_up(tx.now(), limit, lot)
        heads = [head for account_id in accounts if (head := _held_up_no_longer(services, tx, account_id))]
        places = _free_places(services, tx, limit)

    def wake(tx: Transaction) -> None:
        now = tx.now()
        tx.queues.let_look([head.id for head in heads], now)
        for provider, ref in places:
            card = services.card(provider)
            attached = card is not None and card.lifecycle.attaches
            tx.queues.wake_waiting_for_provider(provider, now, credential=ref, attached=attached)

    if heads or places:
        services.database.transact(wake)
    return len(accounts) + len(places)


def _held_up_no_longer(services: Services, tx: Transaction, account_id: str) -> Session | None:
    """Return the first session of the account's queue that waits for the account, unless it would wait for the same
    again."""
    account, head = tx.accounts.get(account_id), tx.queues.first_held_up(account_id)
    model = tx.models.get(head.model_id) if head is not None else None
    if account is None or head is None or model is None:
        return None
    work = AccountWork(services, tx, account, tx.now())
    if quota.check_nodes(work.terms, None, head.nodes) is not None:
        return head  # it never starts, and is refused
    try:
        admission.allowed(work, head, model, head)
    except Refusal as refusal:
        return None if refusal.code.value == head.queue_reason else head
    return head


def _free_places(services: Services, tx: Transaction, limit: int) -> list[tuple[str, str | None]]:
    """Return (provider, key) of free places that a session waits for; None as the key of a provider without keys."""
    now = tx.now()
    rate_limited = tx.rate_limits.of_providers(now)
    places: list[tuple[str, str | None]] = []
    for provider in services.drivers:
        if not tx.queues.has_waiting_session(provider, now):
            continue
        if services.config.providers[provider].all_credentials:
            places += [(provider, ref) for ref in tx.credentials.free(provider, now, limit)]
        elif provider not in rate_limited:
            places.append((provider, None))
    return places
