"""Tables of providers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import ALL_LINES, Column, Forms
from orchestrator.cli.shared.tables import coloured, table
from orchestrator.cli.shared.times import away, whens

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
_COLUMNS = (
    Column("provider", whole=True),
    Column("driver", rank=1),
    Column("base url", rank=3),
    Column("in flight", rank=5),
    Column("pings", rank=2),
    Column("cost", rank=4),
    Column("balance"),
)
_KEYS = (
    Column("credential", whole=True),
    Column("provider"),
    Column("state"),
    Column("placements", rank=2),
    Column("last used", rank=1),
    Column("", prose=2),
)
_WAITS = (Column("model", whole=True), Column("provider"), Column("credential", rank=1), Column("until"))
_BRAKES = (
    Column("braked", whole=True),
    Column("credential", rank=2),
    Column("since", rank=1),
    Column("until"),
    Column("why", prose=ALL_LINES),
)
_NETWORK = (Column("not reached", whole=True), Column("since"), Column("why", prose=ALL_LINES))
_ALARMS = (
    Column("alarm", whole=True),
    Column("provider"),
    Column("credential", rank=1),
    Column("model", rank=2),
    Column("since"),
    Column("why", prose=ALL_LINES),
)
_TRIED = (
    Column("tried", prose=2),
    Column("works"),
    Column("what it said", prose=ALL_LINES),
    Column("what to do", prose=ALL_LINES),
)


def listed(providers: Sequence[dict[str, Any]], now: datetime) -> Iterator["RenderableType"]:
    """Yield providers, their credentials, and what is in force: brakes, the brake over all while the network is down,
    alarms."""
    yield table(_COLUMNS, [_provider(one, now) for one in providers])
    keys = [_credential(one["name"], key, now) for one in providers for key in one["credentials"]]
    keys += [_waiting(one) for one in providers if one["wait_until"]]
    yield table(_KEYS, keys)
    waits = [_model_wait(one["name"], wait, now) for one in providers for wait in one["model_waits"]]
    if waits:
        yield table(_WAITS, waits, title="rate-limited")
    brakes = [_brake(one["name"], brake, now) for one in providers for brake in one["brakes"]]
    if brakes:
        yield table(_BRAKES, brakes, title="brakes")
    network = {one["from"]: _network(one, now) for provider in providers for one in provider["network"]}
    if network:
        yield table(
            _NETWORK, list(network.values()), title="network faults: no session there is stopped as dead"
        )
    alarms = [_alarm(one["name"], alarm, now) for one in providers for alarm in one["alarms"]]
    if alarms:
        yield table(_ALARMS, alarms, title="alarms")


def tried(rows: Sequence["Tried"]) -> "RenderableType":
    """Return what was tried at one provider, and the result of each."""
    shown = [(row.what, _mark(row.works), row.said, row.remedy or "") for row in rows]
    return table(_TRIED, shown)


def _provider(one: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    pings = one["pings"]
    return (
        one["name"],
        one["driver"] or "not configured",
        one["base_url"] or "",
        one["max_in_flight"] or "",
        Forms([f"{pings['count']}, {pings['tokens']} tokens", str(pings["count"])]),
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
        whens(credential["last_used_at"], now),
        credential["why"] or "",
    )


def _waiting(one: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of a rate-limited provider without credentials."""
    state = "rate-limited"
    return "", one["name"], coloured(state, _COLOURS[state]), "", "", f"until {one['wait_until']}"


def _model_wait(provider: str, wait: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    model = coloured(wait["model"], _COLOURS["rate-limited"])
    return model, provider, wait["credential"] or "", whens(wait["wait_until"], now)


def _brake(provider: str, brake: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        coloured(provider, "red"),
        brake["credential"] or "all",
        whens(brake["since"], now),
        whens(brake["until"], now),
        brake["reason"],
    )


def _network(one: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return coloured(f"from {one['from']}", "red"), whens(one["since"], now), one["reason"]


def _alarm(provider: str, alarm: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        coloured(alarm["kind"].replace("_", " "), "red"),
        provider,
        alarm["credential"] or "",
        alarm["model"] or "all",
        whens(alarm["since"], now),
        alarm["reason"],
    )


def _mark(works: bool | None) -> "RenderableType":
    if works is None:
        return coloured("-", "dim")
    return coloured("yes", "green") if works else coloured("no", "red")
