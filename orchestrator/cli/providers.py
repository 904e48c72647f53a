"""`provider list`: what is configured, and how each credential stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.options import AsJson
from orchestrator.cli.output import coloured, print_json, show, table
from orchestrator.cli.reading import reading
from orchestrator.cli.times import when
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import Credential

if TYPE_CHECKING:
    from orchestrator.settings import Configuration, ProviderConfiguration, SecretStore
    from orchestrator.store.unit import Transaction

app = typer.Typer()


@app.callback()
def provider() -> None:
    """Upstream platforms."""


_COLOURS = {"free": "green", "in use": "cyan", "paused": "red", "secret missing": "red", "resting": "yellow"}


@app.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """Configured providers with their credentials. Secrets are looked for on this machine."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    settings = load_settings()
    configuration = wiring.read_configuration(settings)
    with reading() as tx:
        now = tx.now()
        keys = _key_ring(tx, wiring.secret_store(settings), now)
    providers = list(_providers(configuration, keys))
    print_json(providers) if as_json else _show(providers, now)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRing:
    """What the database and this machine know of credentials."""

    rows: Mapping[tuple[str, str], Credential]
    in_use: Mapping[tuple[str, str], int]
    secrets: "SecretStore"
    now: datetime

    def state(self, provider: str, ref: str, *, retired: bool) -> tuple[str, str | None]:
        """How it stands, and why; what keeps it from new placements comes first."""
        row = self.rows.get((provider, ref))
        if retired or (row is not None and row.retired):
            return "retired", "takes no placement, serves the closes"
        missing = self.secrets.why_missing(ref)
        if missing:
            return "secret missing", missing
        if row is not None and row.paused_since is not None:
            return "paused", row.paused_reason
        if row is not None and row.resting_until is not None and row.resting_until > self.now:
            return "resting", f"until {rfc3339(row.resting_until)}"
        if self.in_use.get((provider, ref)):
            return "in use", None
        return "free", None if row else "no worker has started with it yet"


def _key_ring(tx: "Transaction", secrets: "SecretStore", now: datetime) -> KeyRing:
    rows = {(row.provider, row.ref): row for row in tx.credentials.listed()}
    return KeyRing(rows=rows, in_use=tx.credentials.in_use(), secrets=secrets, now=now)


def _providers(configuration: "Configuration", keys: KeyRing) -> Iterator[dict[str, Any]]:
    for provider in configuration.providers.values():
        yield _provider(provider, keys)
    gone = {name for (name, _), count in keys.in_use.items() if count} - set(configuration.providers)
    for name in sorted(gone):  # placements that are not ended outlive the configuration
        refs = sorted(ref for provider, ref in keys.in_use if provider == name and ref)
        credentials = [_credential(keys, name, ref, retired=True) for ref in refs]
        yield {
            "name": name,
            "driver": None,
            "base_url": None,
            "max_in_flight": None,
            "credentials": credentials,
        }


def _provider(provider: "ProviderConfiguration", keys: KeyRing) -> dict[str, Any]:
    return {
        "name": provider.name,
        "driver": provider.driver,
        "base_url": provider.base_url,
        "max_in_flight": provider.max_in_flight,
        "credentials": [
            _credential(keys, provider.name, ref, retired=ref in provider.retired_credentials)
            for ref in provider.all_credentials
        ],
    }


def _credential(keys: KeyRing, provider: str, ref: str, *, retired: bool) -> dict[str, Any]:
    row = keys.rows.get((provider, ref))
    state, why = keys.state(provider, ref, retired=retired)
    return {
        "ref": ref,
        "state": state,
        "why": why,
        "exclusive": row.exclusive if row else None,
        "placements": keys.in_use.get((provider, ref), 0),
        "last_used_at": rfc3339(row.last_used_at) if row else None,
    }


def _show(providers: list[dict[str, Any]], now: datetime) -> None:
    rows = [
        (p["name"], p["driver"] or "not configured", p["base_url"] or "", p["max_in_flight"] or "")
        for p in providers
    ]
    show(table(("provider", "driver", "base url", "at most in flight"), rows))
    keys = [_credential_row(p["name"], c, now) for p in providers for c in p["credentials"]]
    show(table(("credential", "provider", "state", "placements", "last used", ""), keys))


def _credential_row(provider: str, credential: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    state = credential["state"]
    return (
        credential["ref"],
        provider,
        coloured(state, _COLOURS.get(state, "dim")),
        credential["placements"],
        when(credential["last_used_at"], now),
        credential["why"] or "",
    )
