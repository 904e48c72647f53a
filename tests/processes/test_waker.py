"""Wake-ups are published after commits, and delay no caller."""

import json
import threading
from typing import Any, cast

from celery import Celery
from redis import Redis

from orchestrator.settings import Settings
from orchestrator.tasks.app import make_app
from orchestrator.tasks.waker import MANY, ONCE_IN, Waker, WakeUps
from tests.waiting import eventually


class Broker:
    """Takes wake-ups while it is open; each publish waits until then."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.reached = threading.Event()
        self.is_open = threading.Event()

    def publish(self, name: str) -> None:
        self.reached.set()
        assert self.is_open.wait(60)
        self.taken.append(name)


def test_many_wake_ups_at_once_become_one() -> None:
    broker = Broker()
    waker = Waker(broker.publish)
    waker({"open"})
    assert broker.reached.wait(60)
    for _ in range(1000):
        waker({"ping", "close"})
    broker.is_open.set()
    eventually(lambda: len(broker.taken) >= 3, "the wake-ups")
    waker({"stop"})
    eventually(lambda: "stop" in broker.taken, "the last one")
    assert broker.taken == ["open", "close", "ping", "stop"]


def test_a_wake_up_that_comes_soon_again_is_sent_once_more_at_the_end() -> None:
    taken: list[str] = []
    passed = [0.0]
    waker = Waker(taken.append, clock=lambda: passed[0])
    waker({"close"})
    eventually(lambda: taken == ["close"], "the first, at once")
    for _ in range(50):
        waker({"close"})
    waker({"open"})
    eventually(lambda: taken == ["close", "open"], "another, at once")
    passed[0] = ONCE_IN
    eventually(lambda: taken == ["close", "open", "close"], "what came meanwhile, once")


def test_a_broker_that_hangs_holds_up_nobody() -> None:
    broker = Broker()
    waker = Waker(broker.publish)
    returned = threading.Event()

    def commits() -> None:
        for _ in range(100):
            waker({"ping"})
        returned.set()

    threading.Thread(target=commits, daemon=True).start()
    assert returned.wait(60), "a commit waited for the broker"
    assert broker.taken == []
    broker.is_open.set()
    eventually(lambda: broker.taken[:1] == ["ping"], "the wake-up, once the broker is back")


def test_a_publish_that_raises_does_not_end_publishing() -> None:
    taken: list[str] = []

    def publish(name: str) -> None:
        if name == "close":
            raise ConnectionError("no broker")
        taken.append(name)

    waker = Waker(publish)
    waker({"close", "open"})
    eventually(lambda: taken == ["open"], "the other wake-up of the same commit")
    waker({"ping"})
    eventually(lambda: taken == ["open", "ping"], "the next one")


class App:
    """Records the calls of a Celery application."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send_task(self, name: str, **options: Any) -> None:
        self.sent.append((name, options))


def test_a_wake_up_compares_no_clocks() -> None:
    app = App()
    outcome = WakeUps(cast(Celery, app), length=lambda _queue: 0).send("orchestrator.tick.ping")
    assert outcome
    [(name, options)] = app.sent
    assert (name, options["queue"]) == ("orchestrator.tick.ping", "orchestrator.ping")
    assert not {"expires", "eta", "countdown"} & set(options)


def test_where_many_wake_ups_wait_no_other_is_sent() -> None:
    app, waiting, passed = App(), {"orchestrator.ping": MANY}, [0.0]
    wake_ups = WakeUps(cast(Celery, app), length=lambda queue: waiting.get(queue, 0), clock=lambda: passed[0])
    sent = wake_ups.send("orchestrator.tick.ping")
    assert not sent
    sent = wake_ups.send("orchestrator.tick.close")
    assert sent, "each kind has a queue of its own"
    waiting.clear()
    passed[0] += 1
    sent = wake_ups.send("orchestrator.tick.ping")
    assert sent
    assert [name for name, _ in app.sent] == ["orchestrator.tick.close", "orchestrator.tick.ping"]


def test_a_queue_that_nobody_empties_stays_bounded(valkey_url: str) -> None:
    app, _process = make_app(Settings(broker_url=valkey_url))
    passed = [0.0]
    wake_ups = WakeUps(app, clock=lambda: passed[0])
    for _ in range(MANY + 50):
        wake_ups.send("orchestrator.tick.ping")
        passed[0] += 1
    with Redis.from_url(valkey_url) as redis:
        waiting: Any = redis.lrange("orchestrator.ping", 0, -1)
    app.close()
    assert len(waiting) == MANY
    headers = [json.loads(message)["headers"] for message in waiting]
    assert {(header["expires"], header["eta"]) for header in headers} == {(None, None)}
