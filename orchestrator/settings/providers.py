"""Reading `[providers.NAME]`: our keys are taken here, the rest belongs to the driver."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from orchestrator.rules.values import Policy
from orchestrator.settings import urls
from orchestrator.settings.configuration import ProviderConfiguration
from orchestrator.settings.faults import Fault
from orchestrator.settings.policies import read_policy
from orchestrator.settings.secrets import SecretStore, is_reference
from orchestrator.settings.tables import Table, did_you_mean

#: Given a provider's own keys, and a `base_url` that is left out where it may be, a driver returns (key, message)
#: for each fault.
OptionsValidator: TypeAlias = Callable[[Mapping[str, Any]], Sequence[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingContext:
    """What a provider's table is checked against."""

    policy: Policy
    known_drivers: Mapping[str, OptionsValidator] | None
    """None: the caller knows of no drivers, and accepts any."""
    drivers_without_url: Collection[str]
    secrets: SecretStore | None
    """None: a missing secret is no fault now."""


#: A provider's name stands in rows, metrics and jobs.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def read_providers(table: Table, around: ReadingContext) -> Mapping[str, ProviderConfiguration]:
    found = {}
    for name, below in table.tables():
        if _NAME.fullmatch(name) is None:
            table.fault(name, "must be 1 to 64 letters, digits, dots, dashes or underscores")
        found[name] = _read_provider(name, below, around)
    return MappingProxyType(found)


def _read_provider(name: str, table: Table, around: ReadingContext) -> ProviderConfiguration:
    driver = _driver(table, around)
    active, retired = _credentials(table, around.secrets)
    base_url = _base_url(table, needed=driver not in around.drivers_without_url)
    in_flight = table.whole("max_in_flight", 64, least=1)
    policy = read_policy(table, around.policy)
    options = table.rest()
    _check_options(table, driver, options, around)
    return ProviderConfiguration(
        name=name,
        driver=driver,
        base_url=base_url,
        credentials=active,
        retired_credentials=retired,
        max_in_flight=in_flight,
        policy=policy,
        options=MappingProxyType(options),
    )


def _driver(table: Table, around: ReadingContext) -> str:
    if "driver" not in table.values:
        table.take("driver")
        table.fault("driver", "is missing: say which platform's API this provider speaks")
        return ""
    driver = table.text("driver")
    known = around.known_drivers
    if driver and known is not None and driver not in known:
        near = did_you_mean(driver, known.keys())
        table.fault("driver", f"unknown driver{near or ', known are ' + ', '.join(sorted(known))}")
    return driver


def _base_url(table: Table, *, needed: bool) -> str:
    given = table.text("base_url")
    if not given:
        if needed and "base_url" not in table.values:
            table.fault("base_url", "is missing: give the address of the platform's API (https://…)")
        return ""
    try:
        return urls.base_url(given)
    except ValueError as error:
        table.fault("base_url", str(error))
        return ""


def _check_options(table: Table, driver: str, options: Mapping[str, Any], around: ReadingContext) -> None:
    """Check a driver's options. The driver judges its own keys; one that it does not know may be one of ours, misspelt.
    A reference must lead to a secret, as a credential must."""
    for key, value in options.items():
        if around.secrets and isinstance(value, str) and is_reference(value):
            missing = around.secrets.why_missing(value)
            if missing:
                table.fault(key, missing)
    validate = (around.known_drivers or {}).get(driver)
    if validate is None:
        return
    absent = driver in around.drivers_without_url and not table.values.get("base_url")
    for key, message in validate({"base_url": "", **options} if absent else options):
        near = did_you_mean(key, table.taken) if key in options and "unknown" in message else ""
        table.fault(key, message if "did you mean" in message else message + near)


def _credentials(table: Table, secrets: SecretStore | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the references that take placements, and those that only serve closes."""
    entries = table.take("credentials")
    if entries is None:
        return (), ()
    if not isinstance(entries, list):
        table.fault("credentials", 'must be a list (["env:KEY_1"])')
        return (), ()
    read = [_credential(table, f"credentials[{n}]", entry) for n, entry in enumerate(entries)]
    _check_references(table, [ref for ref, _ in read], secrets)
    active, retired = (
        [ref for ref, is_retired in read if ref and is_retired is wanted] for wanted in (False, True)
    )
    return tuple(active), tuple(retired)


def _credential(table: Table, key: str, entry: object) -> tuple[str | None, bool]:
    """Return the reference (None where its fault is already reported), and whether it is retired."""
    if not isinstance(entry, dict):
        return _reference(table, key, entry), False
    below = Table(path=table.at(key), values=entry, faults=table.faults)
    ref = _reference(below, "ref", below.take("ref"))
    retired = below.take("retired")
    if not isinstance(retired, bool | None):
        below.fault("retired", "must be true or false")
    below.refuse_rest()
    return ref, retired is True


def _reference(table: Table, key: str, value: object) -> str | None:
    if isinstance(value, str) and is_reference(value):
        return value
    table.fault(key, "must be env:NAME or file:/path, never the secret itself")
    return None


def _check_references(table: Table, refs: Sequence[str | None], secrets: SecretStore | None) -> None:
    for n, ref in enumerate(refs):
        if ref is None:
            continue
        missing = secrets.why_missing(ref) if secrets else None
        problem = "is listed twice" if ref in refs[:n] else missing
        if problem:
            table.faults.append(Fault(f"{table.path}.credentials[{n}]", problem))
