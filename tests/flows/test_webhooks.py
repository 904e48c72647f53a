"""Events reach webhooks: signed, at least once, in the order of each subject, whatever the receivers do."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.flows.operations.deliver_webhooks import (
    LEASE,
    LINES,
    deliver_webhooks,
)
from orchestrator.flows.operations.webhooks import InTheFile, NotReceived, put_webhook, replay, sync_webhooks
from orchestrator.rules.values import Lease, Webhook
from orchestrator.rules.webhooks import ENOUGH_FAILURES, FIRST_RETRY, GIVEN_UP_AFTER, LONGEST_REST
from orchestrator.settings.configuration import WebhookConfiguration
from tests.flows.conftest import MakeWorld
from tests.receiver import SECRET, Receiver, receiver
from tests.waiting import eventually
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LIFE = [f"orchestrator.session.{kind}" for kind in ("created", "starting", "running", "stopping", "stopped")]


@pytest.fixture
def world(any_world: MakeWorld) -> World:
    """Return a world with the secrets of webhooks."""
    world = any_world()
    world.secrets |= {"HOOK": SECRET, "HOOK_2": OTHER_SECRET, "NONE": "not base64!"}
    return world


def put(world: World, name: str, url: str, *, secrets: tuple[str, ...] = ("env:HOOK",), **of: Any) -> None:
    """Add a webhook for what happens from now on."""
    given = WebhookConfiguration(url=url, secret_refs=secrets, **of)
    put_webhook(world.services.database, name, given, active=True)


def deliver(world: World) -> int:
    """Run passes until nothing more can be sent now; return how many events arrived."""
    arrived = 0
    while (tally := deliver_webhooks(world.services, world.webhooks, waits=True)).claimed:
        arrived += tally.settled
    return arrived


def hook(world: World, name: str = "shop") -> Webhook:
    """Return the webhook as it is in the store."""
    with world.services.database.reading() as tx:
        found = tx.webhooks.get(name)
    assert found is not None
    return found


def backlog(world: World, name: str = "shop") -> tuple[int, int]:
    """Return how many events wait, and how many were given up."""
    with world.services.database.reading() as tx:
        found = tx.webhooks.backlog(name)
    return found.waiting, found.dead


def live_and_end(world: World) -> str:
    """Let one session run and end, and return its id."""
    session_id = world.run_session()
    world.done("session.close", session_id=session_id)
    world.settle()
    return session_id


def test_a_session_s_life_arrives_signed_and_in_order(world: World, shop: Receiver) -> None:
    live_and_end(world)
    put(world, "shop", shop.url, event_types=("orchestrator.session.*",))
    session_id = live_and_end(world)
    deliver(world)
    assert shop.types(session_id) == LIFE
    assert shop.types() == LIFE, "nothing from before the webhook"
    assert shop.verified() == len(LIFE)
    now = (
        world.clock.now
    )  # months before this machine's clock: receivers refuse signatures of another time than theirs
    assert all(now - MINUTE <= at <= now + MINUTE for at in shop.times())
    assert {headers["webhook-id"] for _, headers in shop.bodies} == {event["id"] for event in shop.taken}
    assert backlog(world) == (0, 0)
    assert hook(world).last_answer is None


def test_two_secrets_sign_while_a_receiver_changes_over(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, secrets=("env:HOOK", "env:HOOK_2"))
    live_and_end(world)
    deliver(world)
    assert shop.verified(SECRET) == shop.verified(OTHER_SECRET) > 0


def test_only_wanted_types_and_accounts_arrive(world: World, shop: Receiver) -> None:
    put(world, "ends", shop.url, event_types=("orchestrator.session.stopped",))
    put(world, "other", shop.url, account_ids=("somebody else",))
    live_and_end(world)
    deliver(world)
    assert shop.types() == ["orchestrator.session.stopped"]
    assert hook(world, "other").place == hook(world, "ends").place


def test_a_subject_that_is_refused_delays_no_other_and_keeps_its_order(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.*",))
    first, second = live_and_end(world), live_and_end(world)
    shop.answer = lambda event: 500 if event["subject"] == first else 200
    deliver(world)
    assert (shop.types(first), shop.types(second)) == ([], LIFE)
    assert backlog(world) == (len(LIFE), 0)
    third = live_and_end(world)
    deliver(world)
    assert shop.types(third) == LIFE
    shop.answer = lambda _event: 200
    deliver(world)
    assert shop.types(first) == [], "it is not tried again at once"
    world.jump(timedelta(seconds=FIRST_RETRY))
    deliver(world)
    assert shop.types(first) == LIFE
    assert backlog(world) == (0, 0)


def test_a_receiver_that_is_down_is_asked_rarely_and_gets_all_when_it_is_back(
    world: World, shop: Receiver
) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.*",))
    sessions = [live_and_end(world) for _ in range(ENOUGH_FAILURES + 4)]
    shop.answer = lambda _event: 503
    for _ in range(100):
        deliver(world)
        world.jump(SECOND)
    assert len(shop.tried) < 60
    assert hook(world).last_answer == "the receiver answered 503"
    shop.answer = lambda _event: 200
    for _ in range(4):
        world.jump(timedelta(seconds=LONGEST_REST / 2))
        deliver(world)
    assert [shop.types(one) for one in sessions] == [LIFE] * len(sessions)
    assert hook(world).failures == 0


def test_a_receiver_that_asks_for_time_gets_it(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.*",))
    sessions = [live_and_end(world) for _ in range(ENOUGH_FAILURES + 4)]
    shop.answer, shop.retry_after = lambda _event: 429, "120"
    deliver(world)
    tried = len(shop.tried)
    assert tried <= LINES, "it is asked for nothing more in this pass"
    world.jump(119 * SECOND)
    deliver(world)
    assert len(shop.tried) == tried
    shop.answer = lambda _event: 200
    world.jump(SECOND)
    deliver(world)
    assert [shop.types(one) for one in sessions] == [LIFE] * len(sessions)


def test_a_receiver_that_asks_one_sender_for_time_gets_it_from_all(world: World, shop: Receiver) -> None:
    """Though events that are on their way at the same time arrive."""
    put(world, "shop", shop.url, event_types=("orchestrator.session.created",))
    sessions = [live_and_end(world) for _ in range(LINES * 2 + 3)]
    shop.retry_after, refused = "120", threading.Event()

    def answer(event: Any) -> int:
        if event["subject"] == sessions[0]:
            refused.set()
            return 429
        refused.wait(30)
        return 200

    shop.answer = answer
    deliver(world)
    assert len(shop.tried) < len(sessions), "only what was on its way is still sent"
    world.jump(2 * MINUTE)
    shop.answer = lambda _event: 200
    deliver(world)
    assert {event["subject"] for event in shop.taken} == set(sessions)


def test_what_fails_for_a_day_is_given_up_and_can_be_replayed(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.stopped",))
    session_id = live_and_end(world)
    shop.answer = lambda _event: 400
    for _ in range(50):
        deliver(world)
        world.jump(HOUR)
    assert backlog(world) == (0, 1)
    tried = len(shop.tried)
    assert GIVEN_UP_AFTER / timedelta(hours=6) <= tried <= 30
    shop.answer = lambda _event: 200
    deliver(world)
    assert len(shop.tried) == tried, "a dead letter is not tried by itself"
    [sent] = replay(world.services.database, "shop")
    deliver(world)
    assert (sent.subject, shop.types(session_id)) == (session_id, ["orchestrator.session.stopped"])
    assert backlog(world) == (0, 0)


def test_any_event_that_is_kept_can_be_sent_once_more(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.stopped",))
    live_and_end(world)
    deliver(world)
    replay(world.services.database, "shop", [shop.taken[0]["id"]])
    deliver(world)
    assert [event["id"] for event in shop.taken] == [shop.taken[0]["id"]] * 2
    with pytest.raises(LookupError):
        replay(world.services.database, "shop", ["no such event"])


@pytest.mark.parametrize(
    "narrowed",
    [
        pytest.param({"event_types": ("orchestrator.session.running",)}, id="another type"),
        pytest.param({"account_ids": ("other",)}, id="another account"),
    ],
)
def test_an_event_that_the_filter_excludes_is_not_replayed(
    world: World, shop: Receiver, narrowed: dict[str, tuple[str, ...]]
) -> None:
    """Neither by its id nor with everything that was given up: an account's events stay with its receivers."""
    put(world, "shop", shop.url, event_types=("orchestrator.session.stopped",))
    live_and_end(world)
    deliver(world)
    event_id = shop.taken[0]["id"]
    put(world, "shop", shop.url, **narrowed)
    with pytest.raises(NotReceived, match=f"shop does not receive the event {event_id}.*stopped of .*change"):
        replay(world.services.database, "shop", [event_id])
    deliver(world)
    assert len(shop.taken) == 1


def test_what_was_given_up_and_is_excluded_by_now_stays_given_up(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url, event_types=("orchestrator.session.stopped",))
    live_and_end(world)
    shop.answer = lambda _event: 400
    for _ in range(50):
        deliver(world)
        world.jump(HOUR)
    put(world, "shop", shop.url, event_types=("orchestrator.session.running",))
    assert list(replay(world.services.database, "shop")) == []
    assert backlog(world) == (0, 1)


def test_a_receiver_that_hangs_delays_no_other(world: World, shop: Receiver) -> None:
    with receiver() as slow:
        released = threading.Event()
        slow.answer = lambda _event: 200 if released.wait(30) else 500
        put(world, "slow", slow.url)
        put(world, "shop", shop.url)
        session_id = live_and_end(world)
        deliver_webhooks(world.services, world.webhooks)
        eventually(lambda: shop.types(session_id)[-1:] == LIFE[-1:], "the other has all events")
        assert slow.taken == []
        released.set()
        eventually(lambda: hook(world, "slow").lease is None, "its pass has ended")


@pytest.mark.parametrize(
    ("status", "location", "said"),
    [
        (302, "http://169.254.169.254/latest", "the receiver answered 302; redirects are not followed"),
        (404, "", "the receiver answered 404"),
    ],
)
def test_only_a_success_counts(world: World, shop: Receiver, status: int, location: str, said: str) -> None:
    shop.answer, shop.location = lambda _event: status, location
    put(world, "shop", shop.url)
    live_and_end(world)
    deliver(world)
    assert hook(world).last_answer == said


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("env:GONE", "it cannot be signed: environment variable GONE is not set"),
        ("env:NONE", "it cannot be signed: env:NONE must hold a secret of the Standard Webhooks"),
        ("env:BARE", "it cannot be signed: env:BARE must hold a secret of the Standard Webhooks"),
        ("env:SHORT", "it cannot be signed: env:SHORT must hold a secret of the Standard Webhooks"),
        ("env:LONG", "it cannot be signed: env:LONG must hold a secret of the Standard Webhooks"),
        ("env:SPACED", "it cannot be signed: env:SPACED must hold a secret of the Standard Webhooks"),
    ],
)
def test_without_its_secret_nothing_is_sent(world: World, shop: Receiver, secret: str, said: str) -> None:
    world.secrets |= {
        "BARE": SECRET.removeprefix("whsec_"),
        "SHORT": "whsec_" + "YWJj" * 7,
        "LONG": "whsec_" + "YWJj" * 22,
        "SPACED": SECRET[:20] + " ~" + SECRET[20:],
    }
    put(world, "shop", shop.url, secrets=(secret,))
    live_and_end(world)
    deliver(world)
    assert shop.tried == []
    assert str(hook(world).last_answer).startswith(said)


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/hook", "https://10.0.0.7/hook", "https://2130706433/"]
)
def test_a_private_address_is_not_reached(world: World, url: str) -> None:
    put(world, "shop", url)
    live_and_end(world)
    deliver(world)
    assert "is an address that [attach] does not allow" in str(hook(world).last_answer)


def test_what_a_dead_worker_had_claimed_is_sent_after_its_lease(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url)
    session_id = live_and_end(world)
    database = world.services.database
    now = world.clock.now
    assert database.transact(
        lambda tx: tx.webhooks.claim("shop", Lease("of a dead worker", now + LEASE), now)
    )
    assert deliver(world) == 0
    world.jump(LEASE)
    deliver(world)
    assert shop.types(session_id) == LIFE


def test_who_lost_the_lease_writes_nothing(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url)
    live_and_end(world)
    before = hook(world)

    def takes_it_away(_event: Any) -> int:
        with world.services.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE webhooks SET lease_token = 'of another'")
        return 200

    shop.answer = takes_it_away
    deliver_webhooks(world.services, world.webhooks, waits=True)
    assert hook(world).place == before.place


def test_a_worker_that_leaves_begins_no_pass(world: World, shop: Receiver) -> None:
    put(world, "shop", shop.url)
    live_and_end(world)
    world.services.slots.close()
    deliver_webhooks(world.services, world.webhooks, waits=True)
    assert shop.tried == []


def test_the_file_s_webhooks_are_taken_over_and_leave_with_it(world: World, shop: Receiver) -> None:
    given = WebhookConfiguration(url=shop.url, secret_refs=("env:HOOK",))
    config = replace(world.services.config, webhooks={"shop": given})
    put(world, "by-hand", shop.url)
    sync_webhooks(replace(world.services, config=config))
    first = hook(world)
    world.jump(MINUTE)
    sync_webhooks(replace(world.services, config=config))
    assert (hook(world), first.from_file) == (first, True)
    with pytest.raises(InTheFile):
        put(world, "shop", shop.url)
    live_and_end(world)
    shop.answer = lambda _event: 500
    deliver(world)
    sync_webhooks(world.services)
    with world.services.database.reading() as tx:
        assert [one.name for one in tx.webhooks.listed()] == ["by-hand"]
