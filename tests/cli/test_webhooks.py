"""`orchestrator webhook …`."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import Cli
from tests.receiver import SECRET, an_event_for, receiver
from tests.world import World


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the secret that the webhooks refer to."""
    monkeypatch.setenv("HOOK", SECRET)


def test_a_webhook_is_put_tried_listed_and_deleted(cli: Cli, world: World) -> None:
    with receiver() as shop:
        put = (
            "webhook",
            "put",
            "shop",
            "--url",
            shop.url,
            "--secret",
            "env:HOOK",
            "--event",
            "orchestrator.session.*",
        )
        assert cli(*put).code == 0
        tried = cli("webhook", "test", "shop")
        assert (tried.code, tried.out) == (0, "shop accepted the event\n")
        assert shop.types() == ["orchestrator.webhook.test"]
        assert shop.verified() == 1
        shop.answer = lambda _event: 500
        refused = cli("webhook", "test", "shop")
        assert (refused.code, "the receiver answered 500" in refused.err) == (1, True)
        [listed] = cli("webhook", "list", "--json").json
        assert (listed["name"], listed["events"], listed["waiting"], listed["dead"]) == (
            "shop",
            ["orchestrator.session.*"],
            0,
            0,
        )
        assert "shop" in cli("webhook", "list").out
        assert SECRET not in cli("webhook", "list", "--json").out
        assert cli("webhook", "list", "--dead", "--json").json == []
        assert cli("webhook", "replay", "shop").out == "0 of its events are sent again\n"
        assert cli("webhook", "delete", "shop").code == 0
        assert cli("webhook", "list", "--json").json == []


def test_a_receiver_that_is_down_is_named_in_plain_words(cli: Cli, world: World) -> None:
    with receiver() as shop:
        url = shop.url
    cli("webhook", "put", "shop", "--url", url, "--secret", "env:HOOK")
    said = cli("webhook", "test", "shop")
    assert (said.code, f"could not connect: nothing listens at {urlsplit(url).netloc}" in said.err) == (
        1,
        True,
    )


def test_an_inactive_webhook_is_said_to_receive_nothing(cli: Cli, world: World) -> None:
    put = ("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    said = cli(*put, "--inactive")
    assert (said.code, said.out) == (
        0,
        "shop is inactive: nothing is sent until it is put again without --inactive\n",
    )
    assert "inactive" in cli("webhook", "list").out
    assert cli(*put).out.startswith("shop receives events from now on")


def test_a_secret_that_is_not_here_is_named(cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put = ("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    monkeypatch.setenv("HOOK", SECRET)
    assert cli(*put).err == ""
    monkeypatch.delenv("HOOK")
    said = cli(*put)
    assert (said.code, "environment variable HOOK is not set here" in said.err) == (0, True)


def test_a_filter_that_lets_nothing_through_is_named(cli: Cli, world: World) -> None:
    put = ("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    said = cli(
        *put, "--event", "orchestrator.sesion.*", "--event", "orchestrator.*.stopped", "--account", "acmee"
    )
    assert said.code == 0
    assert "orchestrator.sesion.*" in said.err
    assert "acmee" in said.err
    assert "stopped" not in said.err
    [line] = [one for one in cli("doctor", "--json").json if one["check"] == "webhooks"]
    assert "orchestrator.sesion.*" in str(line)


@pytest.mark.parametrize("weak", ["a-password", "whsec_c2hvcnQ=", "whsec_!!"])
def test_a_secret_that_cannot_sign_is_named_and_not_shown(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch, weak: str
) -> None:
    monkeypatch.setenv("HOOK", weak)
    said = cli("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    assert (said.code, "env:HOOK must hold a secret of the Standard Webhooks" in said.err) == (0, True)
    assert weak not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("put", "a b", "--url", "https://x.example/", "--secret", "env:HOOK"),
            2,
            "NAME: must be 1 to 64 letters",
        ),
        (
            ("put", "a", "--url", "http://x.example/", "--secret", "env:HOOK"),
            2,
            "--url: must begin with https://",
        ),
        (("put", "a", "--url", "https://x.example/", "--secret", "whsec_abc"), 2, "--secret: "),
        (
            ("put", "a", "--url", "https://x.example/", *(("--secret", "env:HOOK") * 3)),
            2,
            "--secret: at most 2 may sign at once",
        ),
        (
            ("put", "a", "--url", "https://x.example/", "--secret", "env:HOOK", "--event", "stopped"),
            2,
            "--event stopped: must be a type of event",
        ),
        (("put", "a", "--url", "https://x.example/"), 2, "Missing option '--secret'"),
        (("test", "nothing"), 3, "no webhook has this name: nothing; `orchestrator webhook list` has all"),
        (("replay", "nothing"), 3, "no webhook has this name: nothing"),
        (("delete", "nothing"), 3, "no webhook has this name: nothing"),
    ],
)
def test_what_cannot_be_done_is_said(
    cli: Cli, world: World, arguments: tuple[str, ...], code: int, message: str
) -> None:
    said = cli("webhook", *arguments)
    assert (said.code, message in said.err) == (code, True), said.err
    assert "abc" not in said.err


def test_an_event_that_is_not_kept_cannot_be_replayed(cli: Cli, world: World) -> None:
    cli("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    said = cli("webhook", "replay", "shop", "--event", "nothing")
    assert (said.code, "no event with this id exists, or it is no longer kept: nothing" in said.err) == (
        3,
        True,
    )


def test_an_event_that_the_webhook_does_not_receive_is_not_replayed(cli: Cli, world: World) -> None:
    cli(
        "webhook",
        "put",
        "shop",
        "--url",
        "https://shop.example/hook",
        "--secret",
        "env:HOOK",
        "--account",
        "x",
    )
    with world.services.database.reading() as tx:
        [event, *_] = tx.outbox.tail(limit=1)
    said = cli("webhook", "replay", "shop", "--event", event.id)
    assert (said.code, "the webhook shop does not receive" in said.err) == (1, True), said.err


@pytest.mark.parametrize(("minutes", "is_red"), [(10, False), (20, True)])
def test_doctor_names_a_receiver_that_has_not_taken_an_event_for_long(
    cli: Cli, world: World, minutes: int, is_red: bool
) -> None:
    cli("webhook", "put", "shop", "--url", "https://shop.example/hook", "--secret", "env:HOOK")
    waits = an_event_for(
        "shop", datetime.now(UTC) - timedelta(minutes=minutes)
    )  # commands have the real clock
    world.services.database.transact(lambda tx: tx.webhooks.put([waits]))
    [line] = [one for one in cli("doctor", "--json").json if one["check"] == "webhooks"]
    assert ("events do not arrive (shop since 20 min" in str(line)) is is_red
