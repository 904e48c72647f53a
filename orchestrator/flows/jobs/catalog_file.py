"""Read `[[models]]` and `[[accounts]]` of a file, and report each fault with its path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.client.parsing import InvalidRequest, RequestFault, parse
from orchestrator.client.requests import PutModel
from orchestrator.settings import TABLES, Configuration, ConfigurationError, Fault
from orchestrator.validation.locs import Loc

PUT_MODEL, PUT_ACCOUNT, CREDIT = (
    "orchestrator.model.put",
    "orchestrator.account.put",
    "orchestrator.account.credit",
)
#: The jobs' names of fields of `[[accounts]]`.
_FIELDS: Mapping[str | int, str] = {"account_id": "id", "amount": "balance"}
#: Opening balances that lead to no credit.
_NOTHING = (None, 0, "0", "0.0", "0.00")

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogFile:
    """What the file asks for, without a fault: the keyword arguments of jobs."""

    models: Sequence[Json]
    accounts: Sequence[tuple[Json, Json | None]]
    """Each with its opening credit."""


def read_catalog_file(document: Mapping[str, Any], configuration: Configuration) -> CatalogFile:
    """Return the catalog in a TOML document. Raises ConfigurationError with every fault."""
    catalog, faults = _read(document, configuration)
    faults = [*_unknown_tables(document), *faults]
    if faults:
        raise ConfigurationError(faults)
    return catalog


def faults_of(document: Mapping[str, Any], configuration: Configuration) -> Sequence[Fault]:
    """Return the faults of catalog entries in the configuration file, which may hold them too."""
    return _read(document, configuration)[1]


def _read(document: Mapping[str, Any], configuration: Configuration) -> tuple[CatalogFile, list[Fault]]:
    faults: list[Fault] = []
    models, accounts = (_entries(document, key, faults) for key in ("models", "accounts"))
    for n, model in enumerate(models):
        faults += _model_faults(("models", n), model, configuration)
    wanted = [_account_jobs(account) for account in accounts]
    for n, (put, credit) in enumerate(wanted):
        faults += _account_faults(("accounts", n), put, credit, configuration)
    faults += [*_repeated("models", models), *_repeated("accounts", accounts)]
    return CatalogFile(models=models, accounts=wanted), faults


def _unknown_tables(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield unknown tables as faults: the configuration may be in the same file; anything else is a misspelling."""
    for key in document:
        if key not in TABLES:
            yield Fault((key,), "unknown key: the file holds [[models]] and [[accounts]]")


def _entries(document: Mapping[str, Any], key: str, faults: list[Fault]) -> list[Json]:
    entries = document.get(key, [])
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        return entries
    faults.append(Fault((key,), f"must be a list of tables ([[{key}]])"))
    return []


def _account_jobs(entry: Json) -> tuple[Json, Json | None]:
    """Return the arguments of the put, and those of the opening credit, which happens once by its key."""
    put = {key: value for key, value in entry.items() if key not in ("id", "balance")}
    put |= {"account_id": entry["id"]} if "id" in entry else {}
    balance = entry.get("balance")
    if not isinstance(balance, bool) and balance in _NOTHING:
        return put, None
    account_id, currency = entry.get("id"), entry.get("currency")
    key = f"opening:{account_id}"
    return put, {"account_id": account_id, "amount": balance, "currency": currency, "key": key}


def _model_faults(loc: Loc, entry: Json, configuration: Configuration) -> list[Fault]:
    faults = _faults(loc, PUT_MODEL, entry)
    if faults:
        return faults
    request = parse(PUT_MODEL, entry)
    assert isinstance(request, PutModel)
    key = "providers" if request.provider is None else "provider"
    return [
        Fault((*loc, key), f"{name} is not configured; add [providers.{name}] first")
        for name in request.provider_names
        if name not in configuration.providers
    ]


def _account_faults(loc: Loc, put: Json, credit: Json | None, configuration: Configuration) -> list[Fault]:
    faults = _faults(loc, PUT_ACCOUNT, put)
    plan = put.get("plan")
    if isinstance(plan, str) and configuration.plan(plan) is None and (*loc, "plan") not in _places(faults):
        known = ", ".join(sorted(configuration.plans))
        faults.append(Fault((*loc, "plan"), f"is not configured; known are {known}"))
    # any other fault of the credit is also a fault of the put, which is reported already
    balance = [] if credit is None else _faults(loc, CREDIT, credit)
    return faults + [fault for fault in balance if fault.loc == (*loc, "balance")]


def _faults(loc: Loc, job: str, kwargs: Json) -> list[Fault]:
    try:
        parse(job, kwargs)
    except InvalidRequest as refusal:
        return [Fault((*loc, *_in_the_file(job, fault)), fault.said()) for fault in refusal.faults]
    return []


def _in_the_file(job: str, fault: RequestFault) -> Loc:
    """Return the place of a fault in its entry. One of the whole entry is named by the field of its kind, if there is
    one."""
    if job != PUT_MODEL:
        return tuple(_FIELDS.get(part, part) if len(fault.loc) == 1 else part for part in fault.loc)
    is_field = not fault.loc and fault.kind in PutModel.model_fields
    return (fault.kind,) if is_field else fault.loc


def _repeated(key: str, entries: Sequence[Json]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for n, entry in enumerate(entries):
        name = str(entry.get("id"))
        if name in seen and "id" in entry:
            yield Fault((key, n, "id"), f"is the id of {key}[{seen[name]}] as well")
        seen.setdefault(name, n)


def _places(faults: Sequence[Fault]) -> set[Loc]:
    return {fault.loc for fault in faults}
