"""`provider check`, `provider release-brake`, and what `provider list` shows beyond the configuration."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.flows.upstream.alarms import open_alarm
from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Brake
from orchestrator.store.queries.brakes import scope_of
from orchestrator.store.transaction import Transaction
from tests.cli.conftest import Cli
from tests.drivers.fpt import TEMPLATE
from tests.world import MINUTE, World

WALLET = "0x" + "ab" * 20

Configured = Callable[..., None]


@pytest.fixture
def configured(config: Path) -> Configured:
    """Configure the platform for the command."""

    def write(name: str, driver: str, url: str, *lines: str, refs: str = '"env:ALPHA"') -> None:
        text = [
            f"[providers.{name}]",
            f'driver = "{driver}"',
            f'base_url = "{url}"',
            f"credentials = [{refs}]",
        ]
        config.write_text("\n".join([*text, *lines]))

    return write


def rows(cli: Cli, name: str) -> dict[str, dict[str, Any]]:
    """Return the rows by the first word of their check."""
    return {row["what"].partition(" ")[0]: row for row in cli("provider", "check", name, "--json").json}


def model_at(world: World, provider: str, theirs: str) -> None:
    def put(tx: Transaction) -> None:
        llama = tx.models.get("llama")
        assert llama is not None
        known = {provider: theirs}
        tx.models.put(
            replace(llama, id=f"{provider}-{theirs}", providers=(provider,), provider_model_ids=known)
        )

    world.services.database.transact(put)


def brake(world: World, provider: str, credential: str | None = None) -> None:
    now = world.clock.now
    held = Brake(
        scope=scope_of(provider, credential),
        provider=provider,
        credential=credential,
        since=now,
        until=now + 10_000_000 * MINUTE,
        reason="6 of 10 sessions fell ill",
    )
    world.services.database.transact(lambda tx: tx.brakes.engage(held))


def test_what_works_is_reported_with_the_price_of_a_ping(
    cli: Cli, world: World, configured: Configured
) -> None:
    url = world.server.add_upstream("aiml", "aimlapi", ["sk-alpha"], ["gpt"])
    configured("aiml", "aimlapi", url)
    model_at(world, "aiml", "gpt")
    said = cli("provider", "check", "aiml")
    assert said.code == 0, said.out
    assert "sk-alpha" not in said.out + said.err
    found = rows(cli, "aiml")
    assert list(found) == ["platform", "credential", "balance", "model", "ping", "price"]
    assert all(row["works"] for row in found.values())
    assert "USD" in found["balance"]["said"]
    assert found["ping"]["said"].startswith("ALIVE")
    assert "USD" in found["price"]["said"]
    (meter,) = [one for one in cli("provider", "list", "--json").json if one["name"] == "aiml"]
    assert meter["pings"]["count"] == 2, "what it costs is counted"
    assert Decimal(meter["pings"]["cost_usd"]) > 0


def test_a_refused_key_leaves_nothing_else_to_try(cli: Cli, world: World, configured: Configured) -> None:
    configured("alpha", "openai", world.server.add_upstream("alpha", "openai", ["sk-other"], ["llama-3"]))
    said = cli("provider", "check", "alpha")
    assert said.code == 1
    assert "replace the key" in said.out
    assert "sk-alpha" not in said.out + said.err
    found = rows(cli, "alpha")
    assert found["credential"]["works"] is False
    assert {found[what]["said"] for what in ("balance", "models", "ping")} == {
        "not tried: no credential works"
    }


def test_a_missing_secret_is_named_and_the_next_key_is_used(
    cli: Cli, world: World, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MORPH_1")
    refs = '"env:MORPH_1", "env:ALPHA"'
    configured("alpha", "openai", world.providers["alpha"].base_url, refs=refs)
    said = cli("provider", "check", "alpha")
    assert said.code == 1
    assert "environment variable MORPH_1 is not set" in said.out
    assert "provide the secret" in said.out
    assert rows(cli, "alpha")["ping"]["works"] is True


def test_a_model_that_is_not_listed_is_named(cli: Cli, world: World, configured: Configured) -> None:
    model_at(world, "alpha", "llama-9")
    configured("alpha", "openai", world.providers["alpha"].base_url)
    said = cli("provider", "check", "alpha", "--json")
    assert said.code == 1
    wrong = [row for row in said.json if row["works"] is False]
    assert [row["what"] for row in wrong] == ["model alpha-llama-9 (llama-9)"]
    assert "does not list the model" in wrong[0]["said"]
    assert "provider_model_id" in wrong[0]["remedy"]


def test_a_platform_that_nobody_reaches_says_where_to_look(cli: Cli, world: World) -> None:
    said = cli("provider", "check", "alpha")  # nothing listens there
    assert said.code == 1
    assert "check the address" in said.out


def test_a_platform_that_fails_is_no_fault_of_this_machine(
    cli: Cli, world: World, configured: Configured
) -> None:
    url = world.server.add_upstream("alpha", "openai", ["sk-alpha"], ["llama-3"])
    configured("alpha", "openai", url)
    world.server.fault("status", upstream="alpha", operation="models", status=502, body={})
    found = rows(cli, "alpha")
    assert "HTTP 502" in found["credential"]["said"]
    assert found["credential"]["remedy"] == "look at the platform, and try again"


def test_a_ping_that_fails_has_its_verdict_and_a_remedy(
    cli: Cli, world: World, configured: Configured
) -> None:
    configured("alpha", "openai", world.providers["alpha"].base_url)
    world.server.fault("status", upstream="alpha", operation="chat", status=402, body={"error": "no credits"})
    said = cli("provider", "check", "alpha")
    assert said.code == 1
    assert "OUT_OF_BALANCE" in said.out
    assert "top up" in said.out


def test_where_sessions_are_opened_nothing_is_created(cli: Cli, world: World, configured: Configured) -> None:
    configured("morph", "morpheus", world.providers["morph"].base_url, refs='"env:MORPH_1", "env:MORPH_2"')
    found = rows(cli, "morph")
    assert found["model"]["said"].startswith("listed as 0x")
    assert found["ping"]["said"] == "not tried: nothing runs there"
    assert (found["ping"]["works"], found["balance"]["works"]) == (None, None)
    assert cli("provider", "check", "morph").code == 0
    assert world.server.open_sessions() == []
    assert {call.operation for call in world.server.log(upstream="morph")} == {"look", "models"}


def test_a_session_that_runs_there_is_pinged(cli: Cli, world: World, configured: Configured) -> None:
    world.clock.now = datetime.now(UTC)  # as the command's own clock
    world.run_session("moral")
    configured("morph", "morpheus", world.providers["morph"].base_url, refs='"env:MORPH_1", "env:MORPH_2"')
    found = rows(cli, "morph")
    assert found["ping"]["works"] is True
    assert len(world.server.open_sessions()) == 1


def test_a_native_ping_is_never_sent_to_look(cli: Cli, world: World, configured: Configured) -> None:
    configured(
        "morph", "morpheus", world.providers["morph"].base_url, 'ping = "native"', refs='"env:MORPH_1"'
    )
    assert "can close a session" in rows(cli, "morph")["ping"]["said"]


def test_a_balance_that_is_low_is_found_wrong(cli: Cli, world: World, configured: Configured) -> None:
    url = world.server.add_upstream("node", "morpheus-node", ["sk-alpha"], ["m"])
    configured("node", "morpheus-node", url, f'user = "{WALLET}"', "low_balance_below = 1000000000")
    found = rows(cli, "node")
    assert (found["credential"]["works"], found["balance"]["works"]) == (True, False)
    assert "top up" in found["balance"]["remedy"]


def test_what_is_attached_cannot_be_tried_beforehand(cli: Cli, world: World, config: Path) -> None:
    config.write_text('[providers.studio]\ndriver = "fpt"\nmode = "attach"\n')
    assert cli("provider", "check", "studio").code == 0
    found = rows(cli, "studio")
    terms = found.pop("platform")
    assert (terms["works"], "sessions are opened and closed elsewhere" in terms["said"]) == (True, True)
    assert [row["works"] for row in found.values()] == [None] * len(found)


def template(*left_out: str, **more: Any) -> list[str]:
    """Return the studio's calls, as lines of a configuration."""
    tables = {key: value for key, value in (TEMPLATE | more).items() if key not in left_out}
    return [f"{key} = {_toml(value)}" for key, value in tables.items()]


def _toml(value: Any) -> str:
    """Return JSON with tables as TOML has them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(below)}' for key, below in value.items()) + "}"
    return json.dumps(value)


NOWHERE = "http://127.0.0.1:9"


def test_a_status_is_asked_where_there_is_no_list(cli: Cli, world: World, configured: Configured) -> None:
    url = world.server.add_upstream("studio", "fpt", ["sk-alpha"], ["m"])
    configured("studio", "fpt", url, *template("list"))
    assert rows(cli, "studio")["credential"]["works"] is True
    assert cli("provider", "check", "studio").code == 0
    other = world.server.add_upstream("other", "fpt", ["sk-other"], ["m"])
    configured("studio", "fpt", other, *template("list"))
    assert rows(cli, "studio")["credential"]["works"] is False
    configured("studio", "fpt", NOWHERE, *template("list"))
    assert rows(cli, "studio")["credential"]["works"] is False
    assert cli("provider", "check", "studio").code == 1


def test_a_status_by_a_name_that_the_open_sends_is_asked_whatever_else_names_are(
    cli: Cli, world: World, configured: Configured
) -> None:
    url = world.server.add_upstream("studio", "fpt", ["sk-alpha"], ["m"])
    configured("studio", "fpt", url, *template("list", names_create=False))
    assert rows(cli, "studio")["credential"]["works"] is True
    assert cli("provider", "check", "studio").code == 0


def test_a_status_by_handle_is_asked_about_nobody(cli: Cli, world: World, configured: Configured) -> None:
    url = world.server.add_upstream("studio", "fpt", ["sk-alpha"], ["m"])
    by_handle = {**TEMPLATE["status"], "url": "/sessions/{handle}"}
    configured("studio", "fpt", url, *template("list", status=by_handle, idempotent_open=True))
    found = rows(cli, "studio")
    assert found["credential"]["works"] is None
    assert "asks by {name}" in found["reachable"]["remedy"]


def test_where_nothing_could_be_verified_nothing_is_called_well(
    cli: Cli, world: World, configured: Configured
) -> None:
    configured("studio", "fpt", NOWHERE, *template("list", "status", idempotent_open=True))
    found = rows(cli, "studio")
    assert (found["reachable"]["works"], "not verified" in found["reachable"]["said"]) == (False, True)
    assert cli("provider", "check", "studio").code == 1


def test_the_terms_of_a_platform_come_first(cli: Cli, world: World, config: Path) -> None:
    config.write_text('[providers.studio]\ndriver = "fpt"\nmode = "attach"\nminimum_billing_seconds = 900\n')
    [first, *_] = cli("provider", "check", "studio", "--json").json
    assert first["what"] == "platform"
    assert "at least 900 s are billed" in first["said"]


@pytest.mark.parametrize("command", ["check", "release-brake"])
def test_an_unknown_provider_is_reported_with_the_known_names(cli: Cli, world: World, command: str) -> None:
    said = cli("provider", command, "alhpa")
    assert (said.code, said.out) == (3, "")
    assert "provider alhpa is unknown; known: alpha, morph" in said.err


def test_a_hand_releases_every_brake_of_a_provider(cli: Cli, world: World) -> None:
    brake(world, "morph")
    brake(world, "morph", "env:MORPH_1")
    brake(world, "alpha")
    assert cli("provider", "release-brake", "morph", "--json").json == {"provider": "morph", "released": 2}
    again = cli("provider", "release-brake", "morph")
    assert (again.code, again.out) == (0, "morph: no brake is active\n")
    left = {one["name"]: one["brakes"] for one in cli("provider", "list", "--json").json}
    assert (len(left["alpha"]), left["morph"]) == (1, [])
    kinds = [event["type"] for event in cli("events", "--json", "--subject", "morph").json]
    assert kinds.count("orchestrator.provider.released") == 2


def test_the_list_tells_brakes_waits_and_meters(cli: Cli, world: World) -> None:
    now = world.clock.now
    brake(world, "alpha")
    later = now + timedelta(days=36_500)

    def note(tx: Transaction) -> None:
        tx.credentials.rate_limit("morph", "env:MORPH_1", later)
        tx.rate_limits.limit_model("alpha", "env:ALPHA", "llama", later)
        tx.rate_limits.limit_model("alpha", None, "pair", later)
        tx.credentials.pause("morph", "env:MORPH_2", "401 Invalid API key", now)
        empty = alarm(AlarmKind.OUT_OF_BALANCE, "alpha", "env:ALPHA", "llama", "402 top up", now)
        tx.alarms.raise_(empty)
        tx.meters.count("alpha", pings=7, tokens=112, cost_usd=Decimal("0.25"))
        tx.meters.note_balance("alpha", Decimal("3.5"), "USD", now, is_low=True)

    world.services.database.transact(note)
    found = {one["name"]: one for one in cli("provider", "list", "--json").json}
    assert found["alpha"]["brakes"][0]["reason"] == "6 of 10 sessions fell ill"
    assert (found["alpha"]["pings"]["count"], found["alpha"]["pings"]["tokens"]) == (7, 112)
    assert Decimal(found["alpha"]["balance"]["amount"]) == Decimal("3.5")
    assert found["alpha"]["balance"]["low"] is True
    (empty,) = found["alpha"]["alarms"]
    assert (empty["kind"], empty["model"], empty["reason"]) == ("out_of_balance", None, "402 top up")
    assert cli("doctor", "--json").json[-1] == {
        "check": "providers",
        "ok": False,
        "detail": "alpha is braked: 6 of 10 sessions fell ill\nmorph env:MORPH_2 is paused: 401 Invalid API key\n"
        "alpha env:ALPHA: out of balance: 402 top up\n`orchestrator provider check NAME` says what to do",
    }
    reported = {"credential": "env:ALPHA", "model": "llama", "wait_until": rfc3339(later)}
    assert found["alpha"]["model_waits"] == [reported | {"credential": None, "model": "pair"}, reported]
    assert found["morph"]["model_waits"] == []
    states = {key["ref"]: key for key in found["morph"]["credentials"]}
    assert states["env:MORPH_1"]["state"] == "rate-limited"
    assert states["env:MORPH_2"]["state"] == "paused"
    assert "401 Invalid API key" in states["env:MORPH_2"]["why"]
    text = cli("provider", "list").out
    assert all(
        word in text
        for word in ("out of balance", "fell ill", "rate-limited", "112 tokens", ", low", "Invalid API key")
    )


def test_a_session_shows_where_orphans_may_be(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    assert "possible orphans" not in cli("session", "show", session_id).out
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE placements SET possible_orphans = 1")
    assert "possible orphans" in cli("session", "show", session_id).out


def test_the_list_shows_where_the_network_is_down(cli: Cli, world: World) -> None:
    assert {len(one["network"]) for one in cli("provider", "list", "--json").json} == {0}
    for about, reason in (("near", "no provider answers"), ("far to morph", "others reach it")):
        world.services.database.transact(
            lambda tx: open_alarm(tx, InstallationAlarmKind.NETWORK_DOWN, about, reason, world.clock.now)  # noqa: B023
        )
    found = {
        one["name"]: [here["from"] for here in one["network"]]
        for one in cli("provider", "list", "--json").json
    }
    assert found == {"alpha": ["near"], "morph": ["far to morph", "near"]}
    text = cli("provider", "list").out
    assert text.count("from near") == 1
    assert "no provider answers" in text
