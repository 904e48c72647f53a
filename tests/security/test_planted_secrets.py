"""Platforms echo the key of a call in whatever they say: it is found in no log, row, event, outcome or message."""

import json
import logging
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
import redis

from orchestrator.client.stream import connect
from orchestrator.flows.deliver_events import LogSink, deliver_events
from orchestrator.store.tables import metadata
from tests.world import MINUTE, World

#: Nothing in them looks like a secret by itself.
KEYS = ["planted/one+1234567", "planted/two+1234567"]
#: Stands in a fault's texts for the key of the call, in every form.
ECHO = "{key} {base64} {quoted}"
#: Every fault that says what it is told to say, and what it says.
FAULTS: list[tuple[str, dict[str, str]]] = [
    ("error_before", {"text": "Authorization: Bearer " + ECHO}),
    ("error_after_effect", {"text": "x-api-key: " + ECHO}),
    ("forbidden", {"text": f"the key {ECHO} may not do this"}),
    ("out_of_balance", {"text": f"no credits left for {ECHO}"}),
    ("html", {"title": f"denied: {ECHO}"}),
    ("html", {"title": "." * 290 + ECHO}),
    ("error_in_200", {"text": ECHO, "code": "{key}"}),
    ("redirect", {"location": "http://127.0.0.1:9/?key={quoted}"}),
    ("wrong_id", {"session_id": "0xfeed"}),
    ("unauthorized", {}),
    ("invalid_json", {}),
    ("cut_after_effect", {}),
]


def test_no_fault_of_a_platform_brings_its_key_to_light(
    sqlite_url: str, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    world = World(sqlite_url)
    world.keys = KEYS
    with world:
        seen += [
            json.dumps(_live_through(world, name, params, operation))
            for name, params in FAULTS
            for operation in (None, "close")
        ]
        stream = connect(valkey_url)
        assert stream is not None
        deliver_events(world.services, [LogSink(), stream])
        seen += [_rows(world), _messages(valkey_url), caplog.text]
    everything = "\n".join(seen)
    assert "may not do this" in everything, "what platforms say is kept"
    assert "no credits left" in everything
    for form in {form for key in KEYS for form in (*_forms(key).values(), key[:14])}:
        assert form not in everything, everything[max(0, everything.index(form) - 300) :][:600]


def _forms(key: str) -> dict[str, str]:
    return {"key": key, "base64": b64encode(key.encode()).decode(), "quoted": quote(key, safe="")}


def _live_through(world: World, fault: str, params: dict[str, str], operation: str | None) -> list[Any]:
    """A session that meets the fault from its first call or at its close, and is closed at last.

    The texts speak of the key of the call and of its neighbour."""
    for key in KEYS:
        forms = _forms(key).items()
        both = {name: " ".join([form, *(_forms(other)[name] for other in KEYS)]) for name, form in forms}
        said: dict[str, Any] = {name: text.format(**both) for name, text in params.items()}
        world.server.fault(fault, upstream="morph", key=key, operation=operation, **said)
    created = world.job("session.create", account_id="acme", model_id="moral")
    world.pass_time(2 * MINUTE)
    session_id = created["result"]["id"]
    closed = world.job("session.close", session_id=session_id)
    world.pass_time(MINUTE)
    meanwhile = world.view(session_id)
    world.server.clear_faults()
    for ref in ("env:MORPH_1", "env:MORPH_2"):
        world.services.database.transact(lambda tx, ref=ref: tx.credentials.unpause("morph", ref))  # type: ignore[misc]
    world.pass_time(20 * MINUTE)
    return [
        created,
        closed,
        meanwhile,
        world.view(session_id),
        world.job("session.delete", session_id=session_id),
    ]


def _rows(world: World) -> str:
    with world.services.database.reading() as tx:
        return "\n".join(
            str(tuple(row)) for t in metadata.sorted_tables for row in tx.connection.execute(t.select())
        )


def _messages(url: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        streams = [key for key in client.scan_iter() if client.type(key) == "stream"]
        assert streams
        return "\n".join(str(client.xrange(key)) for key in streams)
