"""Lay changed values over a configuration, by their names in `orchestrator.toml`: to see what they would do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import Configuration, ProviderConfiguration
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.reading import Document, validated
from orchestrator.settings.tables import POLICY_KEYS
from orchestrator.validation.locs import Loc
from orchestrator.validation.wording import did_you_mean

#: Tables with terms of sessions: what can be tried.
TRIED = ("policy", "plans", "providers")
_PARTS = {"policy": 2, "plans": 3, "providers": 3}
#: Amounts are written as texts in the file.
_AMOUNTS = frozenset(field.name for field in fields(Plan) if field.type is Decimal)


def with_changes(configuration: Configuration, changes: Mapping[str, Any]) -> Configuration:
    """Return the configuration with these values: `policy.KEY` (or KEY), `plans.PLAN.KEY`, `providers.NAME.KEY`. Raises
    ConfigurationError with every fault."""
    document: dict[str, Any] = {}
    faults: list[Fault] = []
    written: dict[Loc, str] = {}
    for path, value in changes.items():
        loc = _loc(path)
        fault = _fault_of(loc, path, configuration)
        before = written.setdefault(loc, path)
        if fault is None and before != path:  # a key of the policy has two spellings
            fault = Fault((path,), f"is given twice, also as {before}")
        if fault is None:
            _put(document, loc, value)
        else:
            faults.append(fault)
    read, wrong = validated(document, None)
    if faults or wrong:
        raise ConfigurationError([*faults, *wrong])
    return _laid_over(configuration, read)


def flat(configuration: Configuration) -> dict[str, Any]:
    """Return every value by its path in the file, with every default. References of secrets, never secrets."""
    tables: dict[str, Any] = {
        "policy": asdict(configuration.policy),
        "plans": {name: _without_name(plan) for name, plan in configuration.plans.items()},
        "providers": {name: _provider(one) for name, one in configuration.providers.items()},
        "webhooks": {name: asdict(one) for name, one in configuration.webhooks.items()},
        "audit": asdict(configuration.audit),
        "retention": configuration.retention.model_dump(mode="json"),
        "catalog": {"private_required_tags": configuration.catalog_required_tags},
        "network": {"canary_url": configuration.canary_url},
        "attach": {
            "allowed": [rule.model_dump(mode="json") for rule in configuration.attach_allowed],
            "private_networks": [str(one) for one in configuration.attach_networks],
        },
    }
    return dict(_leaves((), tables))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what differs, by path, in order; null if a value is not there."""
    paths = sorted({*old, *new})
    return [
        {"key": path, "old": old.get(path), "new": new.get(path)}
        for path in paths
        if old.get(path) != new.get(path)
    ]


def _loc(path: str) -> tuple[str, ...]:
    """Return the parts of a path. A provider's or a plan's name may have dots; a key of the policy may stand alone."""
    head, _, rest = path.partition(".")
    if not rest:
        return ("policy", head)
    name, _, key = rest.rpartition(".")
    return (head, name, key) if name else (head, rest)


def _fault_of(loc: Sequence[str], path: str, configuration: Configuration) -> Fault | None:
    """Return what is wrong with the path; the value is checked later, as the file's are."""
    head, at = loc[0], (path,)
    if head not in TRIED:
        said = f"cannot be tried; give policy.KEY, plans.PLAN.KEY or providers.NAME.KEY{did_you_mean(head, TRIED)}"
        return Fault(at, said)
    if len(loc) != _PARTS[head]:
        return Fault(at, "must be policy.KEY, plans.PLAN.KEY or providers.NAME.KEY")
    known: Mapping[str, Any] = configuration.plans if head == "plans" else configuration.providers
    if head != "policy" and loc[1] not in known:
        what = "plan" if head == "plans" else "provider"
        return Fault(at, f"no {what} has this name{did_you_mean(loc[1], known)}")
    if head == "providers" and loc[2] not in POLICY_KEYS:
        return Fault(at, f"only keys of the policy can be tried{did_you_mean(loc[2], POLICY_KEYS)}")
    return None


def _put(document: dict[str, Any], loc: Sequence[str], value: Any) -> None:
    *way, key = loc
    table = document
    for part in way:
        table = table.setdefault(part, {})
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    table[key] = str(value) if key in _AMOUNTS and is_number else value


def _laid_over(configuration: Configuration, read: Document) -> Configuration:
    general = read.policy.given()
    plans = {name: replace(configuration.plans[name], **table.given()) for name, table in read.plans.items()}
    providers = {
        name: _with_policy(one, {**_reaching(one, general), **_own(read, name)})
        for name, one in configuration.providers.items()
    }
    return replace(
        configuration,
        policy=replace(configuration.policy, **general),
        plans=MappingProxyType({**configuration.plans, **plans}),
        providers=MappingProxyType(providers),
    )


def _reaching(provider: ProviderConfiguration, general: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what of a change of `[policy]` reaches this provider."""
    return {key: value for key, value in general.items() if key not in provider.own_policy}


def _own(read: Document, name: str) -> Mapping[str, Any]:
    table = read.providers.get(name)
    return {} if table is None else {key: value for key, value in table.given().items() if key in POLICY_KEYS}


def _with_policy(provider: ProviderConfiguration, changes: Mapping[str, Any]) -> ProviderConfiguration:
    return replace(provider, policy=replace(provider.policy, **changes)) if changes else provider


def _without_name(plan: Plan) -> dict[str, Any]:
    return {key: value for key, value in asdict(plan).items() if key != "name"}


def _provider(provider: ProviderConfiguration) -> dict[str, Any]:
    """Return a provider's table: of the policy, only the keys that are its own."""
    policy: Policy = provider.policy
    own = {key: getattr(policy, key) for key in provider.own_policy}
    options = dict(provider.options)
    return {
        "driver": provider.driver,
        "base_url": provider.base_url,
        "credentials": provider.credentials,
        "retired_credentials": provider.retired_credentials,
        "max_in_flight": provider.max_in_flight,
        **own,
        **options,
    }


def _leaves(loc: Loc, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves((*loc, str(key)), below)
    else:
        yield ".".join(map(str, loc)), _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: money as its text."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
