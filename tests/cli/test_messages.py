"""`orchestrator messages`: parked messages are listed without their contents, dropped, or sent again."""

import json

import pytest
import redis

from orchestrator.flows.operations.parked_messages import park
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.tasks.parked_copies import STREAM, ParkedCopies
from tests.cli.conftest import Cli
from tests.rules.builders import T0
from tests.world import World

QUEUE = "orchestrator.jobs"
RAW = b'{"sk-secret": 1}'


@pytest.fixture
def broker(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> "redis.Redis":
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    return redis.Redis.from_url(valkey_url)


def parked(world: World, broker: "redis.Redis", *names: str, copied: bool = True) -> None:
    """Park messages as a worker does."""
    copies = ParkedCopies(broker)
    messages = [
        ParkedMessage(
            id=name,
            parked_at=T0,
            queue=QUEUE,
            reason="the body is not text",
            task="orchestrator.session.close",
            task_id="t-1",
            size=len(RAW),
            head="{?: number}",
            kept_as=copies.keep(RAW) if copied else None,
        )
        for name in names
    ]
    world.services.database.transact(lambda tx: park(tx, messages))


def kept(world: World) -> set[str]:
    with world.services.database.reading() as tx:
        return {one.id for one in tx.parked.listed(100)}


def test_parked_messages_are_listed_without_their_contents(
    cli: Cli, world: World, broker: "redis.Redis"
) -> None:
    parked(world, broker, "msg-1")
    [shown] = cli("messages", "list", "--json").json
    assert (shown["id"], shown["reason"], shown["can_be_resent"]) == ("msg-1", "the body is not text", True)
    text = cli("messages", "list").out
    assert "msg-1" in text
    assert "sk-secret" not in text + json.dumps(shown)


def test_a_message_is_sent_again_as_it_came(cli: Cli, world: World, broker: "redis.Redis") -> None:
    parked(world, broker, "msg-1", "msg-2")
    assert cli("messages", "resend", "msg-1", "--json").json == {"resent": ["msg-1"]}
    assert broker.lrange(QUEUE, 0, -1) == [RAW]
    assert kept(world) == {"msg-2"}
    assert broker.xlen(STREAM) == 1
    assert cli("messages", "resend", "--all").out == "1 resent\n"
    assert (kept(world), broker.llen(QUEUE), broker.xlen(STREAM)) == (set(), 2, 0)


def test_messages_are_dropped_for_good(cli: Cli, world: World, broker: "redis.Redis") -> None:
    parked(world, broker, "msg-1", "msg-2", "msg-3")
    assert cli("messages", "drop", "msg-1", "msg-3", "--json").json == {"dropped": ["msg-3", "msg-1"]}
    assert (kept(world), broker.xlen(STREAM)) == ({"msg-2"}, 1)
    assert cli("messages", "drop", "--all").out == "1 dropped\n"
    assert (kept(world), broker.xlen(STREAM), broker.llen(QUEUE)) == (set(), 0, 0)


def test_a_message_without_a_copy_cannot_be_sent_again(cli: Cli, world: World, broker: "redis.Redis") -> None:
    parked(world, broker, "msg-1", copied=False)
    parked(world, broker, "msg-2")
    broker.delete(STREAM)
    said = cli("messages", "resend", "--all")
    assert said.code == 1
    assert "has no copy of msg-2, msg-1" in said.err
    assert kept(world) == {"msg-1", "msg-2"}
    assert cli("messages", "drop", "--all").out == "2 dropped\n"


@pytest.mark.parametrize("command", ["drop", "resend"])
def test_what_is_not_there_and_what_cannot_be_meant(cli: Cli, broker: "redis.Redis", command: str) -> None:
    said = cli("messages", command, "msg-9")
    assert (said.code, "no message msg-9 is parked" in said.err) == (3, True)
    said = cli("messages", command)
    assert (said.code, "name the messages by their ids, or give --all" in said.err) == (2, True)
    said = cli("messages", command, "msg-9", "--all")
    assert (said.code, "give ids or --all, not both" in said.err) == (2, True)
    assert cli("messages", command, "--all").out.startswith("0 ")


@pytest.mark.parametrize(("command", "done"), [("drop", "dropped"), ("resend", "resent")])
def test_one_unknown_id_leaves_all_as_they_are_and_says_so(
    cli: Cli, world: World, broker: "redis.Redis", command: str, done: str
) -> None:
    parked(world, broker, "msg-1")
    said = cli("messages", command, "nope", "msg-1")
    assert said.code == 3
    assert f"none was {done}: no message nope is parked" in said.err
    assert kept(world) == {"msg-1"}


def test_the_event_of_parked_messages_names_their_queue(
    cli: Cli, world: World, broker: "redis.Redis"
) -> None:
    parked(world, broker, "msg-1")
    [line] = [line for line in cli("events").out.splitlines() if "messages_parked" in line]
    assert QUEUE in line


def test_a_broker_that_is_full_loses_nothing_and_is_said_to_refuse_writes(
    cli: Cli, world: World, broker: "redis.Redis"
) -> None:
    parked(world, broker, "msg-1")
    broker.config_set("maxmemory", 1)
    try:
        resent, pinged = cli("messages", "resend", "--all"), cli("session", "ping", "s-1")
    finally:
        broker.config_set("maxmemory", 0)
    for said in (resent, pinged):
        assert "refuses writes (" in said.err
        assert "give it memory or disk" in said.err
        assert "start it" not in said.err
    assert kept(world) == {"msg-1"}


def test_a_broker_that_is_down_loses_nothing(
    cli: Cli, world: World, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    parked(world, broker, "msg-1")
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", "redis://127.0.0.1:1/0")
    for command in ("drop", "resend"):
        said = cli("messages", command, "--all")
        assert (said.code, "the broker does not answer" in said.err) == (1, True)
    assert kept(world) == {"msg-1"}


def test_the_doctor_names_parked_messages_and_their_remedy(
    cli: Cli, world: World, broker: "redis.Redis"
) -> None:
    def found() -> tuple[bool, str]:
        [line] = [one for one in cli("doctor", "--json").json if one["check"] == "messages"]
        return line["ok"], line["detail"]

    assert found() == (True, "no message is parked")
    parked(world, broker, "msg-1", "msg-2")
    ok, detail = found()
    assert not ok
    assert "2 of orchestrator.jobs; the newest: the body is not text" in detail
    assert "orchestrator messages drop" in detail
