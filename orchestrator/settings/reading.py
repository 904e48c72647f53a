"""From `orchestrator.toml` to a Configuration: every fault at once, each named by its path."""

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from orchestrator.rules.audit.invariants import Thresholds
from orchestrator.rules.installation.retention import LEAST_DAYS, SessionRetention
from orchestrator.rules.upstream.addresses import Network, whole_network
from orchestrator.rules.values import Policy
from orchestrator.settings.configuration import AttachRule, Configuration, RetentionSettings
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.policies import read_plans, read_policy
from orchestrator.settings.providers import OptionsValidator, ReadingContext, read_providers
from orchestrator.settings.secrets import SecretStore
from orchestrator.settings.tables import Table
from orchestrator.settings.urls import base_url

#: Read by `orchestrator apply`, and welcome in the same file.
_OF_APPLY = ("models", "accounts")
#: Bytes of a stream that holds a few events, and more than any broker has.
_SMALLEST_STREAM, _LARGEST_STREAM = 65_536, 1_000_000_000_000
#: All that the file may hold.
TABLES = frozenset(
    {"policy", "plans", "catalog", "attach", "providers", "audit", "network", "retention", *_OF_APPLY}
)

#: Finds the faults of what is not read here, from the whole file and what was read of it.
AlsoCheck: TypeAlias = Callable[[Mapping[str, Any], Configuration], Sequence[Fault]]


def _nothing_else(_document: Mapping[str, Any], _configuration: Configuration) -> Sequence[Fault]:
    return ()


#: Endpoints may come from jobs alone, or from the platform, instance by instance.
_WITHOUT_URL = frozenset({"fpt", "sesterce"})


def load_configuration(
    path: Path,
    *,
    required: bool = True,
    known_drivers: Mapping[str, OptionsValidator] | None = None,
    drivers_without_url: Collection[str] = _WITHOUT_URL,
    secrets: SecretStore | None = None,
    require_secrets: bool = True,
    also_check: AlsoCheck = _nothing_else,
) -> Configuration:
    """Read the file. Raises ConfigurationError with all that is wrong with it.

    A file that is not `required` may be missing: everything then has its default."""
    faults: list[Fault] = []
    root = Table(path="", values=_parsed(path, required=required), faults=faults)
    wanted = (secrets or SecretStore()) if require_secrets else None
    configuration = _read(root, known_drivers, drivers_without_url, wanted)
    faults += also_check(root.values, configuration)
    if faults:
        raise ConfigurationError(faults)
    return configuration


def _parsed(path: Path, *, required: bool) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        if not required:
            return {}
        problem = "does not exist: create it, or name another in ORCHESTRATOR_CONFIG"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not valid TOML: {error}"
    except (ValueError, RecursionError):
        problem = "is not valid TOML: a number is too long, or tables are nested too deeply"
    raise ConfigurationError([Fault(str(path), problem)])


def _read(
    root: Table,
    known_drivers: Mapping[str, OptionsValidator] | None,
    drivers_without_url: Collection[str],
    secrets: SecretStore | None,
) -> Configuration:
    policy = _read_policy(root.table("policy"))
    around = ReadingContext(
        policy=policy,
        known_drivers=known_drivers,
        drivers_without_url=drivers_without_url,
        secrets=secrets,
    )
    attach = root.table("attach")
    configuration = Configuration(
        policy=policy,
        plans=read_plans(root.table("plans")),
        catalog_required_tags=_read_catalog(root.table("catalog")),
        attach_networks=_read_networks(attach),
        attach_allowed=_read_attach(attach),
        providers=read_providers(root.table("providers"), around),
        audit=_read_audit(root.table("audit")),
        canary_url=_read_canary(root.table("network")),
        retention=_read_retention(root.table("retention")),
    )
    root.taken |= set(_OF_APPLY)
    root.refuse_rest()
    return configuration


def _read_policy(table: Table) -> Policy:
    policy = read_policy(table, Policy())
    table.refuse_rest()
    return policy


def _read_audit(table: Table) -> Thresholds:
    defaults = asdict(Thresholds())
    bounds = Thresholds(**{key: table.number(key, value, least=1) for key, value in defaults.items()})
    table.refuse_rest()
    return bounds


def _read_canary(table: Table) -> str | None:
    given = table.text("canary_url")
    table.refuse_rest()
    try:
        return base_url(given) if given else None
    except ValueError as error:
        table.fault("canary_url", str(error))
        return None


def _read_retention(table: Table) -> RetentionSettings:
    days = table.number("events_days", RetentionSettings().events_days, least=1)
    most = table.number("stream_bytes", 0, least=0, most=_LARGEST_STREAM, whole=True)
    if 0 < most < _SMALLEST_STREAM:
        table.fault(
            "stream_bytes", f"must be at least {_SMALLEST_STREAM}, or 0: a quarter of the broker's memory"
        )
    sessions, kept_days = _read_session_retention(table)
    delete_after = table.whole("auto_delete_after_seconds", None, least=0)
    table.refuse_rest()
    return RetentionSettings(
        events_days=days,
        stream_bytes=int(most) or None,
        sessions=sessions,
        sessions_kept_days=kept_days,
        auto_delete_after_seconds=delete_after or None,
    )


def _read_session_retention(table: Table) -> tuple[SessionRetention, float | None]:
    """Return what happens to old sessions, and after how many days. Each needs the other."""
    days = table.number("sessions_kept_days", None, least=LEAST_DAYS)
    text = table.text("sessions", SessionRetention.KEEP)
    if text not in set(SessionRetention):
        table.fault("sessions", 'must be "keep", "archive" or "delete"')
        return SessionRetention.KEEP, None
    sessions = SessionRetention(text)
    if "sessions_kept_days" in table.values and sessions is SessionRetention.KEEP:
        table.fault("sessions", 'must say what happens after sessions_kept_days: "archive" or "delete"')
    if "sessions_kept_days" not in table.values and sessions is not SessionRetention.KEEP:
        table.fault("sessions_kept_days", f"must say after how many days ({LEAST_DAYS} or more) to {text}")
    return sessions, days


def _read_catalog(table: Table) -> tuple[str, ...]:
    tags = table.texts("private_required_tags", Configuration().catalog_required_tags)
    table.refuse_rest()
    return tags


def _read_networks(table: Table) -> tuple[Network, ...]:
    found = []
    for n, text in enumerate(table.texts("private_networks")):
        network = whole_network(text)
        if network is None:
            table.fault(f"private_networks[{n}]", "must be a range of addresses (10.0.0.0/8, fd00::/8)")
        else:
            found.append(network)
    return tuple(found)


def _read_attach(table: Table) -> tuple[AttachRule, ...]:
    entries = table.take("allowed") or []
    table.refuse_rest()
    example = '{secret_ref = "env:NAME_*", host = "name"}'
    if not isinstance(entries, list):
        table.fault("allowed", f"must be a list of tables ([{example}])")
        return ()
    for n, entry in enumerate(entries):
        if not isinstance(entry, dict):
            table.fault(f"allowed[{n}]", f"must be a table ({example})")
    return tuple(
        _read_rule(Table(path=f"{table.path}.allowed[{n}]", values=entry, faults=table.faults))
        for n, entry in enumerate(entries)
        if isinstance(entry, dict)
    )


def _read_rule(table: Table) -> AttachRule:
    secret_ref, host = table.text("secret_ref"), table.text("host")
    if not secret_ref.startswith(("env:", "file:/")) or secret_ref in {"env:*", "file:/*"}:
        table.fault(
            "secret_ref", "must be env:NAME or file:/path, where * stands for any characters of a name"
        )
    if not _is_host(host):
        table.fault(
            "host",
            "must be a host's name, with its port unless that is 443 (name:8443); for an endpoint without TLS, after"
            " its scheme (http://name:8080)",
        )
    table.refuse_rest()
    return AttachRule(secret_ref=secret_ref, host=host.lower())


def _is_host(rule: str) -> bool:
    scheme, _, rest = rule.lower().rpartition("://")
    host = rest if scheme in {"http", "https"} else rule
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and parts.netloc == host and not set(host) & set("@*? \\")
