"""Read `orchestrator.toml` into a Configuration, and report every fault at once, each with its place."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from orchestrator.rules import webhooks
from orchestrator.rules.audit.invariants import Thresholds
from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference
from orchestrator.rules.upstream.addresses import whole_network
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import (
    BUILT_IN_PLANS,
    AttachRule,
    Configuration,
    RetentionSettings,
    WebhookConfiguration,
)
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.providers import KnownDriver, ProviderTable, ReadingContext, option_faults
from orchestrator.settings.secrets import SecretStore
from orchestrator.settings.tables import OF_CONTEXT, AuditTable, PlanTable, PolicyTable, Table, Url
from orchestrator.validation.locs import Loc, path_of
from orchestrator.validation.toml import in_toml
from orchestrator.validation.wording import did_you_mean, in_words, where, wrong

#: Finds the faults of what is not read here, from the whole file and what was read of it.
AlsoCheck: TypeAlias = Callable[[Mapping[str, Any], Configuration], Sequence[Fault]]


def _named(pattern: str, sentence: str) -> AfterValidator:
    """Return a validator of the names of tables: it reports a wrong one, and keeps its table."""

    def checked(name: str, info: ValidationInfo) -> str:
        if info.context and re.fullmatch(pattern, name, re.DOTALL) is None:
            raise wrong(sentence, OF_CONTEXT)
        return name

    return AfterValidator(checked)


_PlanName: TypeAlias = Annotated[str, _named(r".*\S.*", "must have a name, by which accounts refer to it")]
#: It is in rows, metrics and jobs.
_ProviderName: TypeAlias = Annotated[
    str, _named(r"[A-Za-z0-9._-]{1,64}", "must be 1 to 64 letters, digits, dots, dashes or underscores")
]


class _Catalog(Table):
    private_required_tags: list[Annotated[str, Field(min_length=1)]] = Field(
        ["ready"], examples=['["ready"]']
    )


class _Network(Table):
    canary_url: Url | None = None


class _Attach(Table):
    allowed: Annotated[list[AttachRule], BeforeValidator(lambda given: given or [])] = Field(
        [], examples=['[{secret_ref = "env:NAME_*", host = "name"}]']
    )
    """An empty text or table, 0 and false are no rules, as they were in earlier releases."""
    private_networks: list[
        Annotated[str, where(whole_network, "must be a range of addresses (10.0.0.0/8, fd00::/8)")]
    ] = Field([], examples=['["10.0.0.0/8"]'])


def _receiver(url: str) -> str:
    fault = webhooks.url_fault(url)
    if fault is not None:
        raise wrong(fault)
    return url


def _event_type(pattern: str) -> str:
    fault = webhooks.pattern_fault(pattern)
    if fault is not None:
        raise wrong(fault)
    return pattern


class WebhookTable(Table):
    """What a [webhooks.NAME] may hold."""

    url: Annotated[str, AfterValidator(_receiver)]
    secrets: list[Annotated[str, where(is_reference, NOT_A_REFERENCE)]] = Field(
        min_length=1, max_length=webhooks.MOST_SECRETS, examples=['["env:WEBHOOK_SECRET"]']
    )
    events: list[Annotated[str, AfterValidator(_event_type)]] = Field(
        [], examples=['["orchestrator.session.*"]']
    )
    accounts: list[Annotated[str, Field(min_length=1)]] = Field([], examples=['["acme"]'])

    def configuration(self) -> WebhookConfiguration:
        """Return the webhook as the rest of the system uses it."""
        return WebhookConfiguration(
            url=self.url,
            secret_refs=tuple(self.secrets),
            event_types=tuple(self.events),
            account_ids=tuple(self.accounts),
        )


class Document(Table):
    """All that the file may hold."""

    policy: PolicyTable = PolicyTable()
    plans: dict[_PlanName, PlanTable] = Field(default_factory=dict)
    catalog: _Catalog = _Catalog()
    attach: _Attach = _Attach()
    providers: dict[_ProviderName, ProviderTable] = Field(default_factory=dict)
    webhooks: dict[_ProviderName, WebhookTable] = Field(default_factory=dict)
    audit: AuditTable = AuditTable()
    network: _Network = _Network()
    retention: RetentionSettings = RetentionSettings()
    models: Any = None
    """Read by `orchestrator apply`, and welcome in the same file."""
    accounts: Any = None

    def configuration(self) -> Configuration:
        """Return the configuration, with every default filled in."""
        policy = replace(Policy(), **self.policy.given())
        plans = {name: _plan(name, table) for name, table in self.plans.items()}
        providers = {name: table.configuration(name, policy) for name, table in self.providers.items()}
        return Configuration(
            policy=policy,
            plans=MappingProxyType({**BUILT_IN_PLANS, **plans}),
            catalog_required_tags=tuple(self.catalog.private_required_tags),
            attach_networks=tuple(map(ip_network, self.attach.private_networks)),
            attach_allowed=tuple(self.attach.allowed),
            providers=MappingProxyType(providers),
            audit=Thresholds(**self.audit.given()),
            canary_url=self.network.canary_url,
            retention=self.retention,
            webhooks=MappingProxyType({name: table.configuration() for name, table in self.webhooks.items()}),
        )


#: All that the file may hold.
TABLES = frozenset(Document.model_fields)


def load_configuration(
    path: Path,
    *,
    required: bool = True,
    known_drivers: Mapping[str, KnownDriver] | None = None,
    secrets: SecretStore | None = None,
    require_secrets: bool = True,
    also_check: AlsoCheck = lambda _document, _configuration: (),
) -> Configuration:
    """Read the file. Raises ConfigurationError with all its faults. A file that is not `required` may be missing: then
    everything has its default."""
    document = _parsed(path, required=required)
    context = ReadingContext(
        known_drivers=known_drivers,
        secrets=(secrets or SecretStore()) if require_secrets else None,
    )
    read, faults = validated(document, context)
    configuration = read.configuration()
    for provider in configuration.providers.values():
        faults += option_faults(provider, context)
    faults += _missing_secrets(configuration, context)
    faults += also_check(document, configuration)
    if faults:
        raise ConfigurationError(faults)
    return configuration


def _missing_secrets(configuration: Configuration, context: ReadingContext) -> list[Fault]:
    """Return a fault for each secret of a webhook that leads to nothing."""
    if context.secrets is None:
        return []
    reasons = (
        (("webhooks", name, "secrets", n), context.secrets.why_missing(ref))
        for name, webhook in configuration.webhooks.items()
        for n, ref in enumerate(webhook.secret_refs)
    )
    return [Fault(loc, reason) for loc, reason in reasons if reason]


def _parsed(path: Path, *, required: bool) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        if not required:
            return {}
        problem = "does not exist: create it, or name another in ORCHESTRATOR_CONFIG"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not valid TOML: {in_toml(error)}"
    except (ValueError, RecursionError):
        problem = "is not valid TOML: a number is too long, or tables are nested too deeply"
    raise ConfigurationError([Fault((str(path),), problem)])


def validated(document: Mapping[str, Any], context: ReadingContext | None) -> tuple[Document, list[Fault]]:
    """Return the document and its faults. What is wrong is left out of it, so that the rest can be checked further."""
    try:
        return Document.model_validate(document, context=context), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    read, _ = validated(_without(details, document), None)
    return read, [_fault(detail) for detail in details]


def _without(details: Sequence[ErrorDetails], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document without wrong values. An entry of a list that lacks a key leaves as a whole; what must be a
    table becomes an empty one. Of a list the last entry leaves first: faults come in the document's order."""
    kinds = {
        detail["loc"][:-1] if detail["type"] == "missing" else detail["loc"]: detail["type"]
        for detail in details
        if detail["type"] != OF_CONTEXT
    }
    for loc in reversed(kinds):
        if not any(loc[:n] in kinds for n in range(len(loc))):  # else it leaves with what contains it
            document = _changed(document, loc, kinds[loc])
    return document


def _changed(place: Any, loc: Loc, kind: str) -> Any:
    """Return a copy of the table or list where the place is gone, or an empty table. Only the way there is copied."""
    copy, key = place.copy(), loc[0]
    if len(loc) > 1:
        copy[key] = _changed(copy[key], loc[1:], kind)
    elif kind == "model_type" and isinstance(place, dict):
        copy[key] = {}
    else:
        del copy[key]
    return copy


def _fault(detail: ErrorDetails) -> Fault:
    loc, kind = detail["loc"], detail["type"]
    is_name = kind == OF_CONTEXT and loc[-1] == "[key]"  # of a plan or a provider
    return Fault(loc[:-1] if is_name else loc, in_words(detail) + _hint(loc, kind))


def _hint(loc: Loc, kind: str) -> str:
    """Return the key that was meant in place of an unknown one, or an example in place of a wrong type."""
    *way, key = keys = [part for part in loc if isinstance(part, str)]
    table = _table_at(way)
    field = table.model_fields.get(key)
    if kind == "extra_forbidden":
        return did_you_mean(key, table.model_fields)
    if field and field.examples and kind.endswith("_type"):
        return f"; for example {key} = {field.examples[0]}"
    return f"; write [{path_of(loc)}]" if kind == "model_type" and len(keys) == len(loc) else ""


def _table_at(keys: Sequence[str]) -> type[BaseModel]:
    table: type[BaseModel] = Document
    for key in keys:
        field = table.model_fields.get(key)  # none for names of plans and providers
        table = next(_tables_in(field.annotation), table) if field else table
    return table


def _tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for below in get_args(annotation):
        yield from _tables_in(below)


def _plan(name: str, table: Table) -> Plan:
    """Return the built-in plan of this name, changed as the file says; a new one if there is none."""
    return replace(BUILT_IN_PLANS.get(name, Plan(name=name)), **table.given())
