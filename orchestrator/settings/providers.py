"""`[providers.NAME]`: our own keys. All others are the driver's, which judges them itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    field_validator,
)

from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference
from orchestrator.rules.values import Policy
from orchestrator.settings.configuration import ProviderConfiguration
from orchestrator.settings.faults import Fault
from orchestrator.settings.secrets import SecretStore
from orchestrator.settings.tables import OF_CONTEXT, POLICY_KEYS, Table, Text, Url, within
from orchestrator.validation.locs import Loc
from orchestrator.validation.wording import UNKNOWN_KEY, did_you_mean, wrong

#: Given a provider's own keys, and a `base_url` that is left out where it may be, a driver returns their faults.
OptionsValidator: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Fault]]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDriver:
    """What the file is checked against for each driver."""

    option_faults: OptionsValidator
    needs_base_url: bool = True


#: A driver of an unknown name: that name is the fault, and its options are not judged.
_UNKNOWN = KnownDriver(option_faults=lambda _options: ())
#: Where the caller knows of no drivers.
_ANY = KnownDriver(option_faults=lambda _options: (), needs_base_url=False)
#: Stands for a credential that the list has already.
_REPEATED: Final = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingContext:
    """What a provider's table is checked against, besides itself."""

    known_drivers: Mapping[str, KnownDriver] | None
    """None: the caller knows of no drivers, and accepts any."""
    secrets: SecretStore | None
    """None: a missing secret is no fault now."""

    def driver(self, name: str | None) -> KnownDriver:
        """Return what a driver's table is checked against."""
        return _ANY if self.known_drivers is None else self.known_drivers.get(name or "", _UNKNOWN)

    def missing(self, ref: object) -> str | None:
        """Return why the secret is missing, as a sentence; None if it is there, or need not be."""
        if self.secrets is None or not isinstance(ref, str) or not is_reference(ref):
            return None
        return self.secrets.why_missing(ref)


def _reference(value: object) -> str:
    if isinstance(value, str) and is_reference(value):
        return value
    raise wrong(NOT_A_REFERENCE)


class CredentialTable(Table):
    """A credential, and whether it only serves closes."""

    ref: Annotated[str, BeforeValidator(_reference)]
    retired: bool = False


def _credential(
    entry: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> CredentialTable:
    """Read a reference, or a table with one."""
    if entry is _REPEATED:
        raise wrong("is listed twice", OF_CONTEXT)
    read: CredentialTable = validate(entry if isinstance(entry, dict) else {"ref": _reference(entry)})
    missing = info.context.missing(read.ref) if info.context else None
    if missing:
        raise wrong(missing, OF_CONTEXT)
    return read


def _marked(entries: Any, info: ValidationInfo) -> Any:
    """Mark references that are in the list before, so that the fault has their number."""
    if not info.context or not isinstance(entries, list):
        return entries
    refs = [entry.get("ref") if isinstance(entry, dict) else entry for entry in entries]
    return [
        _REPEATED if isinstance(ref, str) and is_reference(ref) and ref in refs[:n] else entries[n]
        for n, ref in enumerate(refs)
    ]


class _OwnKeys(Table):
    model_config = ConfigDict(extra="allow")

    driver: Text | None = Field(None, validate_default=True)
    base_url: Url | None = Field(None, validate_default=True)
    credentials: Annotated[
        list[Annotated[CredentialTable, WrapValidator(_credential)]], BeforeValidator(_marked)
    ] = Field([], examples=['["env:KEY_1"]'])
    max_in_flight: Annotated[int, within("max_in_flight", 1)] = 64

    @field_validator("driver")
    @classmethod
    def _is_known(cls, driver: str | None, info: ValidationInfo) -> str | None:
        known = info.context.known_drivers if info.context else None
        if info.context and driver is None:
            raise wrong("is missing: say which platform's API this provider speaks", OF_CONTEXT)
        if known is not None and driver not in known:
            near = did_you_mean(driver or "", known) or f", known are {', '.join(sorted(known))}"
            raise wrong(f"unknown driver{near}", OF_CONTEXT)
        return driver

    @field_validator("base_url")
    @classmethod
    def _is_given(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None and info.context and info.context.driver(info.data.get("driver")).needs_base_url:
            raise wrong("is missing: give the address of the platform's API (https://…)", OF_CONTEXT)
        return url

    def configuration(self, name: str, policy: Policy) -> ProviderConfiguration:
        """Return the provider; `policy` holds where it has no keys of its own."""
        own = self.given()
        own_policy = own.keys() & POLICY_KEYS.keys()
        return ProviderConfiguration(
            name=name,
            driver=self.driver or "",
            base_url=self.base_url or "",
            credentials=tuple(one.ref for one in self.credentials if not one.retired),
            retired_credentials=tuple(one.ref for one in self.credentials if one.retired),
            max_in_flight=self.max_in_flight,
            policy=replace(policy, **{key: own[key] for key in own_policy}),
            own_policy=tuple(sorted(own_policy)),
            options=MappingProxyType(self.model_extra or {}),
        )


ProviderTable: type[_OwnKeys] = create_model("ProviderTable", __base__=_OwnKeys, **POLICY_KEYS)


def option_faults(provider: ProviderConfiguration, context: ReadingContext) -> Iterator[Fault]:
    """Yield the faults of the driver's own keys. One that it does not know may be one of ours, misspelt. A reference
    must lead to a secret, as a credential must."""
    at: Loc = ("providers", provider.name)
    for key, value in provider.options.items():
        missing = context.missing(value)
        if missing:
            yield Fault((*at, key), missing)
    known = context.driver(provider.driver)
    without_url = not known.needs_base_url and not provider.base_url
    options = {"base_url": "", **provider.options} if without_url else provider.options
    for fault in known.option_faults(options):
        ours = fault.message == UNKNOWN_KEY and len(fault.loc) == 1
        near = did_you_mean(fault.path, ProviderTable.model_fields) if ours else ""
        yield Fault((*at, *fault.loc), fault.message + near)
