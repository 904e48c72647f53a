"""Apply models and accounts from a file: every fault at once, before anything is written; then each its job."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.client.parsing import parse
from orchestrator.client.requests import CreditAccount, PutAccount, PutModel
from orchestrator.flows import put_account
from orchestrator.flows.jobs import perform
from orchestrator.flows.services import Services
from orchestrator.flows.views import as_text
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import Account
from orchestrator.settings import Configuration, ConfigurationError, Fault
from orchestrator.store.ledger import credit_key

_PUT_MODEL, _PUT_ACCOUNT, _CREDIT = (
    "orchestrator.model.put",
    "orchestrator.account.put",
    "orchestrator.account.credit",
)
#: What the jobs call fields of `[[accounts]]`.
_IN_THE_FILE = {"account_id": "id", "amount": "balance"}
#: An opening balance of nothing is no credit.
_NOTHING = (None, 0, "0", "0.0", "0.00")

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the file asks for, without a fault: the keyword arguments of jobs."""

    models: Sequence[Json]
    accounts: Sequence[tuple[Json, Json | None]]
    """Each with its opening credit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What became of one wish: `added`, `changed`, `unchanged` or `refused`."""

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


def wishes_of(document: Mapping[str, Any], configuration: Configuration) -> Wishes:
    """The wishes in a TOML document. Raises ConfigurationError with every fault, named by its path."""
    faults = [*_unknown_tables(document)]
    models, accounts = (_entries(document, key, faults) for key in ("models", "accounts"))
    for n, model in enumerate(models):
        faults += _model_faults(f"models[{n}]", model, configuration)
    wanted = [_account_jobs(account) for account in accounts]
    for n, (put, credit) in enumerate(wanted):
        faults += _account_faults(f"accounts[{n}]", put, credit, configuration)
    faults += [*_repeated("models", models), *_repeated("accounts", accounts)]
    if faults:
        raise ConfigurationError(faults)
    return Wishes(models=models, accounts=wanted)


def apply_wishes(services: Services, wishes: Wishes) -> list[Change]:
    """Do what is not so already; a refusal of one does not keep the others back."""
    changes = [_put_model(services, model) for model in wishes.models]
    for put, credit in wishes.accounts:
        changes.append(_put_account(services, put))
        if credit is not None and changes[-1].error is None:
            changes.append(_give_opening_balance(services, credit))
    return changes


# faults


def _unknown_tables(document: Mapping[str, Any]) -> Iterator[Fault]:
    """The configuration may stand in the same file; anything else is a misspelling."""
    known = {"models", "accounts", "policy", "plans", "catalog", "attach", "providers"}
    for key in document:
        if key not in known:
            yield Fault(key, "unknown key: the file holds [[models]] and [[accounts]]")


def _entries(document: Mapping[str, Any], key: str, faults: list[Fault]) -> list[Json]:
    entries = document.get(key, [])
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        return entries
    faults.append(Fault(key, f"must be a list of tables ([[{key}]])"))
    return []


def _account_jobs(entry: Json) -> tuple[Json, Json | None]:
    """The put, and the opening credit: its key makes it happen once."""
    put = {key: value for key, value in entry.items() if key not in ("id", "balance")}
    put |= {"account_id": entry["id"]} if "id" in entry else {}
    balance = entry.get("balance")
    if not isinstance(balance, bool) and balance in _NOTHING:
        return put, None
    account_id, currency = entry.get("id"), entry.get("currency")
    key = f"opening:{account_id}"
    return put, {"account_id": account_id, "amount": balance, "currency": currency, "key": key}


def _model_faults(path: str, entry: Json, configuration: Configuration) -> list[Fault]:
    faults = _faults(path, _PUT_MODEL, entry)
    if faults:
        return faults
    request = parse(_PUT_MODEL, entry)
    assert isinstance(request, PutModel)
    several = "" if request.provider is not None else "s"
    return [
        Fault(f"{path}.provider{several}", f"{name} is not configured; add [providers.{name}] first")
        for name in request.provider_names
        if name not in configuration.providers
    ]


def _account_faults(path: str, put: Json, credit: Json | None, configuration: Configuration) -> list[Fault]:
    faults = _faults(path, _PUT_ACCOUNT, put)
    plan = put.get("plan")
    if isinstance(plan, str) and configuration.plan(plan) is None and f"{path}.plan" not in _paths(faults):
        known = ", ".join(sorted(configuration.plans))
        faults.append(Fault(f"{path}.plan", f"is not configured; known are {known}"))
    # what else is wrong with the credit is wrong with the put, and told already
    balance = [] if credit is None else _faults(path, _CREDIT, credit)
    return faults + [fault for fault in balance if fault.path == f"{path}.balance"]


def _faults(path: str, job: str, kwargs: Json) -> list[Fault]:
    try:
        parse(job, kwargs)
    except Refusal as refusal:
        return [Fault(_path(path, job, fault), fault["msg"]) for fault in refusal.details["faults"]]
    return []


def _path(path: str, job: str, fault: Mapping[str, str]) -> str:
    """A fault of the whole is named by the field that its kind names, where there is one."""
    loc = fault["loc"]
    if loc == "request":
        loc = fault["type"] if job == _PUT_MODEL and fault["type"] in PutModel.model_fields else ""
    return f"{path}.{_IN_THE_FILE.get(loc, loc) if job != _PUT_MODEL else loc}".rstrip(".")


def _repeated(key: str, entries: Sequence[Json]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for n, entry in enumerate(entries):
        name = str(entry.get("id"))
        if name in seen and "id" in entry:
            yield Fault(f"{key}[{n}].id", f"is the id of {key}[{seen[name]}] as well")
        seen.setdefault(name, n)


def _paths(faults: Sequence[Fault]) -> set[str]:
    return {fault.path for fault in faults}


# effects


def _put_model(services: Services, kwargs: Json) -> Change:
    request = parse(_PUT_MODEL, kwargs)
    assert isinstance(request, PutModel)
    with services.database.reading() as tx:
        before = tx.models.get(request.id)
    if before == request.as_model():
        return Change(kind="model", id=request.id, change="unchanged")
    return _done(services, "model", request.id, _PUT_MODEL, kwargs, is_new=before is None)


def _put_account(services: Services, kwargs: Json) -> Change:
    request = parse(_PUT_ACCOUNT, kwargs)
    assert isinstance(request, PutAccount)
    with services.database.reading() as tx:
        before = tx.accounts.get(request.account_id)
    if before is not None and _is_as_wanted(before, request):
        return Change(kind="account", id=request.account_id, change="unchanged")
    return _done(services, "account", request.account_id, _PUT_ACCOUNT, kwargs, is_new=before is None)


def _is_as_wanted(account: Account, request: PutAccount) -> bool:
    return put_account.as_wanted(account, request) == account


def _give_opening_balance(services: Services, kwargs: Json) -> Change:
    request = parse(_CREDIT, kwargs)
    assert isinstance(request, CreditAccount)
    account_id = request.account_id
    with services.database.reading() as tx:
        known = tx.ledger.by_key(credit_key(account_id, request.key))
    if known is None:
        note = f"{as_text(request.amount)} {request.currency}"
        return _done(services, "opening balance", account_id, _CREDIT, kwargs, is_new=True, note=note)
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
