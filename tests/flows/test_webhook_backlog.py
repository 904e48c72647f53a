"""What waits for a webhook: it is for that receiver only, and holds nothing else up."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from orchestrator.flows.operations import deliver_webhooks as flow
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.rules import webhooks as rules
from orchestrator.rules.events import Event
from orchestrator.rules.values import Webhook
from orchestrator.rules.webhooks import Undelivered
from orchestrator.settings.configuration import WebhookConfiguration
from tests.flows.conftest import MakeWorld
from tests.receiver import SECRET, Receiver, receiver
from tests.world import SECOND, World

pytestmark = pytest.mark.slow

TYPE, OTHER_TYPE = "orchestrator.session.changed", "orchestrator.account.exhausted"


@pytest.fixture
def world(any_world: MakeWorld) -> World:
    """Return a world with the secret of webhooks."""
    world = any_world()
    world.secrets |= {"HOOK": SECRET}
    return world


def put(world: World, url: str, **of: Any) -> None:
    """Add the webhook, or change it."""
    given = WebhookConfiguration(url=url, secret_refs=("env:HOOK",), **of)
    put_webhook(world.services.database, "shop", given, active=True)


def happen(world: World, *subjects: str, account: str = "acme", kind: str = TYPE) -> None:
    """Write an event of each subject."""
    more = {"balance": "0.00"} if kind == OTHER_TYPE else {}
    found = [
        Event(type=kind, subject=one, data={"session_id": one, "account_id": account} | more)
        for one in subjects
    ]
    world.services.database.transact(lambda tx: tx.outbox.add(found))


def one_pass(world: World, sender: flow.SendsEvents | None = None) -> None:
    """Run one pass of each webhook that is due."""
    flow.deliver_webhooks(world.services, sender or world.webhooks, waits=True)


def waiting(world: World) -> list[str]:
    """Return the subjects of what waits, in their order."""
    with world.services.database.reading() as tx:
        return [one.subject for one in sorted(tx.webhooks.waiting("shop"), key=lambda one: one.seq)]


def subjects(receiver: Receiver) -> list[str]:
    return [event["subject"] for event in receiver.taken]


@pytest.mark.parametrize(
    "narrowed",
    [
        pytest.param({"event_types": (OTHER_TYPE,)}, id="another type"),
        pytest.param({"account_ids": ("other",)}, id="another account"),
    ],
)
def test_what_waits_and_is_excluded_by_now_is_not_sent(
    world: World, shop: Receiver, narrowed: Mapping[str, tuple[str, ...]]
) -> None:
    """The receiver may be another one by now, of another account."""
    put(world, shop.url)
    happen(world, "a", "a", "b")
    shop.answer = lambda _event: 500
    one_pass(world)
    assert len(waiting(world)) == 3
    with receiver() as other:
        put(world, other.url, **narrowed)
        happen(world, "other", account="other", kind=OTHER_TYPE)
        for _ in range(20):
            one_pass(world)
            world.jump(SECOND)
        assert (subjects(other), waiting(world)) == (["other"], [])


def test_a_filter_that_changes_during_a_pass_holds_for_what_the_pass_leaves(
    world: World, shop: Receiver
) -> None:
    put(world, shop.url)
    happen(world, "a", "a", "b")

    def narrows(_event: Mapping[str, Any]) -> int:
        put(world, shop.url, account_ids=("other",))
        return 500

    shop.answer = narrows
    one_pass(world)
    assert waiting(world) == []


def test_a_webhook_that_is_corrected_sends_what_waits_at_once(world: World, shop: Receiver) -> None:
    put(world, "http://127.0.0.1:9/")
    happen(world, "a")
    for _ in range(10):
        one_pass(world)
        world.jump(400 * SECOND)
    one_pass(world)
    put(world, shop.url)
    one_pass(world)
    assert subjects(shop) == ["a"]


def test_a_full_subject_holds_up_no_other(
    world: World, shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_WAITING", 10)
    put(world, shop.url)
    shop.answer = lambda event: 400 if event["subject"] == "bad" else 200
    happen(world, *["bad"] * 30)
    for n in range(40):
        happen(world, f"good-{n}")
        one_pass(world)
        world.jump(SECOND)
    world.jump(10 * SECOND)
    one_pass(world)
    assert subjects(shop) == [f"good-{n}" for n in range(40)]


def test_a_receiver_that_is_down_is_asked_rarely_while_others_events_happen(
    world: World, shop: Receiver
) -> None:
    """A pass in which nothing is for it does not mean that it is well again."""
    put(world, shop.url, account_ids=("acme",))
    happen(world, "a")
    shop.answer = lambda _event: 503
    for _ in range(200):
        happen(world, "z", account="other")
        one_pass(world)
        world.jump(SECOND)
    assert len(shop.tried) <= 7
    with world.services.database.reading() as tx:
        found = tx.webhooks.get("shop")
    assert found is not None
    assert found.last_answer == "the receiver answered 503"
    shop.answer = lambda _event: 200
    for _ in range(400):
        one_pass(world)
        world.jump(SECOND)
    assert subjects(shop) == ["a"]


def test_an_event_that_cannot_be_sent_for_a_defect_holds_up_no_other(world: World, shop: Receiver) -> None:
    put(world, shop.url)
    happen(world, "broken", "whole")

    class Sender:
        async def send(self, webhook: Webhook, event: Mapping[str, Any], now: datetime) -> Undelivered | None:
            if event["subject"] == "broken":
                raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
            return await world.webhooks.send(webhook, event, now)

    one_pass(world, Sender())
    assert (subjects(shop), waiting(world)) == (["whole"], ["broken"])
