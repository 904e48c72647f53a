"""`orchestrator reconcile`, over a platform that lists."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.simulator import SimulatorServer
from tests.cli.conftest import Cli
from tests.drivers.morpheus_node import WALLET
from tests.world import World

NODE = """
[providers.node]
driver = "morpheus-node"
base_url = "{url}"
credentials = ["env:NODE"]
user = "{wallet}"
reconcile_min_age_seconds = 0
reconcile_clock_skew_seconds = 0
open_within_seconds = 0
list_lag_seconds = 0

[providers.morph]
driver = "morpheus"
base_url = "http://127.0.0.1:9/api/v1"
credentials = ["env:MORPH_1"]
"""


@pytest.fixture
def node(cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorServer]:
    """Return a node with one unknown session."""
    monkeypatch.setenv("NODE", "admin:secret")
    with SimulatorServer() as server:
        url = server.add_upstream("node", "morpheus-node", ["admin:secret"], ["llama-3"])
        config.write_text(NODE.format(url=url, wallet=WALLET))
        sessions = server.simulator.sessions
        server._on_loop(lambda: sessions.open(upstream="node", key="k", model="llama-3", seconds=3600))
        yield server


def test_a_difference_is_found_reported_and_put_right(cli: Cli, node: SimulatorServer) -> None:
    [unknown] = node.open_sessions()
    dry = cli("reconcile", "--dry-run", "--json")
    [one] = dry.json["lists"]
    assert (dry.code, one["provider"], one["listed"], one["problem"], one["refused"]) == (
        1,
        "node",
        1,
        None,
        None,
    )
    [found] = one["findings"]
    assert (found["kind"], found["handle"], found["done"]) == ("close", unknown.id, False)
    assert cli("provider", "orphans", "--json").json == []
    said = cli("reconcile", "--provider", "node")
    assert said.code == 1
    assert all(word in said.out for word in (unknown.id, "close", "done", "differs"))
    assert [orphan["handle"] for orphan in cli("provider", "orphans", "--json").json] == [unknown.id]
    again = cli("reconcile")
    assert (again.code, "as we know it" in again.out) == (0, True)


def test_a_mass_of_differences_is_touched_only_by_an_operators_word(cli: Cli, node: SimulatorServer) -> None:
    sessions = node.simulator.sessions
    for _ in range(2):
        node._on_loop(lambda: sessions.open(upstream="node", key="k", model="llama-3", seconds=3600))
    refused = cli("reconcile")
    assert refused.code == 1
    assert "nothing touched: 3 of the 3" in refused.out
    assert cli("reconcile", "--max-share", "0.9").code == 1
    assert cli("provider", "orphans", "--json").json == []
    forced = cli("reconcile", "--force", "--json").json["lists"][0]
    assert [one["done"] for one in forced["findings"]] == [True] * 3


def test_a_list_that_cannot_be_had_is_a_finding(
    cli: Cli, node: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.fault("unauthorized", operation="list")
    said = cli("reconcile")
    assert (said.code, "no list: " in said.out) == (1, True)
    monkeypatch.delenv("NODE")
    assert "cannot resolve its secret" in cli("reconcile").out
    unknown = cli("reconcile", "--provider", "nope")
    assert (unknown.code, "known: morph, node" in unknown.err) == (3, True)


def test_possible_orphans_of_a_gateway_are_reported(cli: Cli, world: World) -> None:
    world.server.fault("error_after_effect", operation="open", times=1)
    world.clock.now = datetime.now(UTC)
    session_id = world.create_session("moral")
    world.settle()
    said = cli("reconcile", "--json")
    assert (said.code, said.json["lists"]) == (1, [])
    assert [one["id"] for one in said.json["possible_orphans"]] == [session_id]
    assert session_id in cli("reconcile").out


def test_where_no_provider_can_list_nothing_looks_like_agreement(cli: Cli, config: Path) -> None:
    said = cli("reconcile")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "nothing was compared: none of the configured providers can list its sessions: "
        "alpha (openai), morph (morpheus)\n"
    )
    one = cli("reconcile", "--provider", "morph", "--dry-run", "--json")
    assert (one.code, one.json) == (1, {"lists": [], "possible_orphans": []})
    assert '"message": "nothing was compared: provider morph (morpheus) cannot list its sessions"' in one.err
    config.write_text("")
    assert cli("reconcile").err == "nothing was compared: no provider is configured\n"
