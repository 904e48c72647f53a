"""The page of webhooks: administrators add, test, replay and delete; others do not see it."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.flows.operations.deliver_webhooks import deliver_webhooks
from orchestrator.rules.values import Scope
from orchestrator.rules.webhooks import GIVEN_UP_AFTER
from tests.console.stage import Person, Stage
from tests.receiver import SECRET, Receiver, receiver
from tests.world import HOUR


@pytest.fixture
def admin(site: Stage) -> Person:
    site.world.secrets |= {"HOOK": SECRET}
    return site.person(Scope.ADMIN)


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """Return a receiver."""
    with receiver() as one:
        yield one


def put(admin: Person, shop: Receiver, **fields: Any) -> None:
    terms = {"name": "shop", "url": shop.url, "secrets": "env:HOOK", "active": "on"}
    admin.press("/webhooks", **(terms | fields))


def test_a_webhook_is_added_tested_and_deleted_after_what_is_lost_is_shown(
    site: Stage, admin: Person, shop: Receiver
) -> None:
    assert "No webhook is configured" in admin.page("/webhooks")
    put(admin, shop, events="orchestrator.session.*, orchestrator.account.*")
    assert site.get("/webhooks/shop")["events"] == ["orchestrator.session.*", "orchestrator.account.*"]
    page = admin.page("/webhooks/shop?done=hooked")
    assert "The webhook is saved" in page
    assert "env:HOOK" in page
    assert SECRET not in page
    tried = admin.press("/webhooks/shop", "/webhooks/shop/test", status=200)
    assert "The receiver accepted the test event" in tried.text
    shop.answer = lambda _event: 403
    tried = admin.press("/webhooks/shop", "/webhooks/shop/test", status=200)
    assert "did not arrive: the receiver answered 403" in tried.text
    assert "0 waiting events and 0 given-up events" in admin.page("/webhooks/shop/delete")
    admin.press("/webhooks/shop/delete")
    assert site.get("/webhooks")["items"] == []


def test_what_was_given_up_is_shown_and_sent_again(site: Stage, admin: Person, shop: Receiver) -> None:
    put(admin, shop)
    shop.answer = lambda _event: 500
    site.world.done("account.credit", account_id="acme", amount="1.00", currency="USD", key="one")
    deliver_webhooks(site.world.services, site.world.webhooks, waits=True)
    site.world.jump(GIVEN_UP_AFTER + HOUR)
    deliver_webhooks(site.world.services, site.world.webhooks, waits=True)
    page = admin.page("/webhooks/shop")
    assert "account.credited" in page
    assert "Send all 1 again" in page
    shop.answer = lambda _event: 204
    admin.press("/webhooks/shop", "/webhooks/shop/replay")
    deliver_webhooks(site.world.services, site.world.webhooks, waits=True)
    assert shop.types() == ["orchestrator.account.credited"]
    assert "Nothing was given up" in admin.page("/webhooks/shop")


def test_wrong_terms_are_named(admin: Person, shop: Receiver) -> None:
    terms = {"name": "shop", "url": "http://shop.test/", "secrets": "env:HOOK", "active": "on"}
    assert "must begin with https://" in admin.press("/webhooks", status=422, **terms).text
    assert shop.tried == []


def test_only_administrators_see_the_page(site: Stage) -> None:
    person = site.person(Scope.OPERATE)
    assert 'href="/webhooks"' not in person.page("/")
    assert "scope admin" in person.page("/webhooks", 403)
    assert 'href="/webhooks"' in site.person(Scope.ADMIN).page("/")
