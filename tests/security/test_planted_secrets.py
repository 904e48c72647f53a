"""Platforms echo the key of a call in their answers: it is found in no log, row, event, outcome or message."""

import json
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import redis

from orchestrator.client.stream import connect
from orchestrator.flows.operations.deliver_events import deliver_events, with_the_log
from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.flows.reconcile.reconcile_due import reconcile_due
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.flows.upstream.read_balances import read_balances
from orchestrator.store.tables import metadata
from tests.drivers import PLATFORMS, PlatformUnderTest
from tests.platforms.world import PlatformWorld
from tests.security import planted
from tests.world import MINUTE

#: Number of keys of sessions that bring their own.
ATTACHED = 2 * len(planted.FAULTS)


class Planted(PlatformUnderTest):
    """A platform whose keys are planted ones."""

    @property
    def secrets(self) -> dict[str, str]:
        return {name: planted.key(n) for n, name in enumerate(super().secrets, 1)}


def with_planted_keys(platform: PlatformUnderTest) -> Planted:
    keys = ATTACHED if platform.attaches else platform.keys
    return replace(
        Planted(**{field.name: getattr(platform, field.name) for field in fields(platform)}), keys=keys
    )


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_no_fault_of_a_platform_brings_its_key_to_light(
    platform: PlatformUnderTest, sqlite_url: str, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chosen = with_planted_keys(platform)
    world = PlatformWorld(sqlite_url, [chosen])
    with world:
        seen = [
            json.dumps(list(_lived_through(world, chosen, *fault, later=later)), default=str)
            for fault in planted.FAULTS
            for later in (False, True)
        ]
        stream = connect(valkey_url)
        assert stream is not None
        deliver_events(world.services, with_the_log(stream))
        seen += [_rows(world), _messages(valkey_url), caplog.text]
        keys = list(chosen.secrets.values())
        assert {call.key for call in world.server.log()} & {*keys}, (
            "the platform was called with a planted key"
        )
    everything = "\n".join(seen)
    assert "may not do this" in everything, "what platforms say is kept"
    assert "no credits left" in everything
    assert planted.found_in(everything, keys) == []


def _lived_through(
    world: PlatformWorld, platform: PlatformUnderTest, fault: str, params: dict[str, str], *, later: bool
) -> Iterator[Any]:
    """Run a session that meets the fault from its first call, or `later`, once it runs; close it at last. All other
    calls of the platform meet it too.

    The texts contain the key of the call, and its neighbours where these are known here without a session."""
    if later:
        session_id = world.run_at(platform.name)
    keys = list(platform.secrets.values())
    for key in keys:
        texts: dict[str, Any] = {**planted.said(params, key, {*keys} - {key} if platform.refs else ())}
        world.server.fault(fault, upstream=platform.name, key=key, **texts)
    if not later:
        session_id = world.create_at(platform.name)
    world.pass_time(2 * MINUTE)
    yield [(one.what, one.said, one.remedy) for one in check_provider(world.services, platform.name)]
    for flow in (reconcile_due, read_balances, retry_paused):
        flow(world.services)
    yield world.job("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    yield world.view(session_id)
    world.server.clear_faults()
    for ref in platform.refs:
        world.with_database(lambda tx, ref=ref: tx.credentials.unpause(platform.name, ref))
    if platform.attaches:
        for one in world.server.open_sessions():  # an operator, in the console
            world.server.end_session(one.id, "expired")
    world.pass_time(20 * MINUTE)
    yield world.view(session_id)
    yield world.job("session.delete", session_id=session_id)


def _rows(world: PlatformWorld) -> str:
    with world.services.database.reading() as tx:
        return "\n".join(
            str(tuple(row)) for t in metadata.sorted_tables for row in tx.connection.execute(t.select())
        )


def _messages(url: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        streams = [key for key in client.scan_iter() if client.type(key) == "stream"]
        assert streams
        return "\n".join(str(client.xrange(key)) for key in streams)
