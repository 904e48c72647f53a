"""Apply models and accounts from a file, each by its job. Entries that already match are left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.client.parsing import parse
from orchestrator.client.requests import CreditAccount, PutAccount, PutModel
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import put_account
from orchestrator.flows.jobs.catalog_file import CREDIT, PUT_ACCOUNT, PUT_MODEL, CatalogFile, Json
from orchestrator.flows.jobs.perform import perform
from orchestrator.flows.reports.views import as_text
from orchestrator.rules.values import Account
from orchestrator.store.queries.ledger import credit_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """The result for one entry: `added`, `changed`, `unchanged` or `refused`."""

    kind: str
    id: str
    change: str
    note: str = ""
    error: Mapping[str, Any] | None = None

    def as_json(self) -> Json:
        return {
            "kind": self.kind,
            "id": self.id,
            "change": self.change,
            "note": self.note,
            "error": self.error,
        }


def apply_catalog(services: Services, catalog: CatalogFile) -> list[Change]:
    """Apply what differs from the rows; a refused entry does not stop the others."""
    changes = [_put_model(services, model) for model in catalog.models]
    for put, credit in catalog.accounts:
        changes.append(_put_account(services, put))
        if credit is not None and changes[-1].error is None:
            changes.append(_give_opening_balance(services, credit))
    return changes


def _put_model(services: Services, kwargs: Json) -> Change:
    request = parse(PUT_MODEL, kwargs)
    assert isinstance(request, PutModel)
    with services.database.reading() as tx:
        before = tx.models.get(request.id)
    if before == request.as_model():
        return Change(kind="model", id=request.id, change="unchanged")
    return _done(services, "model", request.id, PUT_MODEL, kwargs, is_new=before is None)


def _put_account(services: Services, kwargs: Json) -> Change:
    request = parse(PUT_ACCOUNT, kwargs)
    assert isinstance(request, PutAccount)
    with services.database.reading() as tx:
        before = tx.accounts.get(request.account_id)
    if before is not None and _is_as_wanted(before, request):
        return Change(kind="account", id=request.account_id, change="unchanged")
    return _done(services, "account", request.account_id, PUT_ACCOUNT, kwargs, is_new=before is None)


def _is_as_wanted(account: Account, request: PutAccount) -> bool:
    return put_account.as_wanted(account, request) == account


def _give_opening_balance(services: Services, kwargs: Json) -> Change:
    request = parse(CREDIT, kwargs)
    assert isinstance(request, CreditAccount)
    account_id = request.account_id
    with services.database.reading() as tx:
        known = tx.ledger.by_key(credit_key(account_id, request.key))
    if known is None:
        note = f"{as_text(request.amount)} {request.currency}"
        return _done(services, "opening balance", account_id, CREDIT, kwargs, is_new=True, note=note)
    given = f"{as_text(known.amount)} {known.currency}"
    note = "" if known.amount == request.amount else f"{given} was given already and stays; credit the rest"
    return Change(kind="opening balance", id=account_id, change="unchanged", note=note)


def _done(
    services: Services, kind: str, name: str, job: str, kwargs: Json, *, is_new: bool, note: str = ""
) -> Change:
    outcome = perform(services, services.database.identity.new_id(), job, kwargs)
    if not outcome["ok"]:
        return Change(kind=kind, id=name, change="refused", error=outcome["error"])
    return Change(kind=kind, id=name, change="added" if is_new else "changed", note=note)
