"""Tables of providers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import coloured, table
from orchestrator.cli.times import away, when

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.flows.operations.checks import Tried

_COLOURS = {
    "free": "green",
    "in use": "cyan",
    "paused": "red",
    "secret missing": "red",
    "resting": "yellow",
    "rate-limited": "yellow",
}
_COLUMNS = ("provider", "driver", "base url", "at most in flight", "pings", "cost", "balance")


def listed(providers: Sequence[dict[str, Any]], now: datetime) -> Iterator["RenderableType"]:
    """Yield providers, their credentials, and what is in force: brakes, the brake over all while the network is down,
    alarms."""
    yield table(_COLUMNS, [_provider(one, now) for one in providers])
    keys = [_credential(one["name"], key, now) for one in providers for key in one["credentials"]]
    keys += [_waiting(one) for one in providers if one["wait_until"]]
    yield table(("credential", "provider", "state", "placements", "last used", ""), keys)
    waits = [_model_wait(one["name"], wait, now) for one in providers for wait in one["model_waits"]]
    if waits:
        yield table(("model", "provider", "credential", "until"), waits, title="rate-limited")
    brakes = [_brake(one["name"], brake, now) for one in providers for brake in one["brakes"]]
    if brakes:
        yield table(("braked", "credential", "since", "until", "why"), brakes, title="brakes")
    network = {one["from"]: _network(one, now) for provider in providers for one in provider["network"]}
    if network:
        yield table(
            ("not reached", "since", "why"), list(network.values()), title="network: no death counts there"
        )
    alarms = [_alarm(one["name"], alarm, now) for one in providers for alarm in one["alarms"]]
    if alarms:
        yield table(("alarm", "provider", "credential", "model", "since", "why"), alarms, title="alarms")


def tried(rows: Sequence["Tried"]) -> "RenderableType":
    """Return what was tried at one provider, and the result of each."""
    shown = [(row.what, _mark(row.works), row.said, row.remedy or "") for row in rows]
    return table(("tried", "works", "what it said", "what to do"), shown)


def _provider(one: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    pings = one["pings"]
    return (
        one["name"],
        one["driver"] or "not configured",
        one["base_url"] or "",
        one["max_in_flight"] or "",
        f"{pings['count']}, {pings['tokens']} tokens",
        f"{pings['cost_usd']} USD",
        _balance(one["balance"], now),
    )


def _balance(balance: dict[str, Any] | None, now: datetime) -> Any:
    if balance is None:
        return ""
    shown = f"{balance['amount']} {balance['currency']}, read {away(balance['read_at'], now)}"
    return coloured(f"{shown}, low", "red") if balance["low"] else shown


def _credential(provider: str, credential: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    state = credential["state"]
    return (
        credential["ref"],
        provider,
        coloured(state, _COLOURS.get(state, "dim")),
        credential["placements"],
        when(credential["last_used_at"], now),
        credential["why"] or "",
    )


def _waiting(one: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of a rate-limited provider without credentials."""
    state = "rate-limited"
    return "", one["name"], coloured(state, _COLOURS[state]), "", "", f"until {one['wait_until']}"


def _model_wait(provider: str, wait: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    model = coloured(wait["model"], _COLOURS["rate-limited"])
    return model, provider, wait["credential"] or "", when(wait["wait_until"], now)


def _brake(provider: str, brake: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        coloured(provider, "red"),
        brake["credential"] or "all",
        when(brake["since"], now),
        when(brake["until"], now),
        brake["reason"],
    )


def _network(one: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return coloured(f"from {one['from']}", "red"), when(one["since"], now), one["reason"]


def _alarm(provider: str, alarm: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        coloured(alarm["kind"].replace("_", " "), "red"),
        provider,
        alarm["credential"] or "",
        alarm["model"] or "all",
        when(alarm["since"], now),
        alarm["reason"],
    )


def _mark(works: bool | None) -> "RenderableType":
    if works is None:
        return coloured("-", "dim")
    return coloured("yes", "green") if works else coloured("no", "red")
