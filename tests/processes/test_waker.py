"""Wake-ups are published after commits, and hold nobody up."""

import threading

from orchestrator.rules.states import Step
from orchestrator.tasks.waker import Waker
from tests.processes.platform import eventually


class Broker:
    """Takes wake-ups while it is open; each publish waits until then."""

    def __init__(self) -> None:
        self.taken: list[Step] = []
        self.reached = threading.Event()
        self.is_open = threading.Event()

    def publish(self, step: Step) -> None:
        self.reached.set()
        assert self.is_open.wait(60)
        self.taken.append(step)


def test_many_wake_ups_at_once_become_one() -> None:
    broker = Broker()
    waker = Waker(broker.publish)
    waker(frozenset({Step.OPEN}))
    assert broker.reached.wait(60)
    for _ in range(1000):
        waker(frozenset({Step.PING, Step.CLOSE}))
    broker.is_open.set()
    eventually(lambda: len(broker.taken) >= 3, "the wake-ups")
    waker(frozenset({Step.STOP}))
    eventually(lambda: Step.STOP in broker.taken, "the last one")
    assert broker.taken == [Step.OPEN, Step.CLOSE, Step.PING, Step.STOP]


def test_a_broker_that_hangs_holds_up_nobody() -> None:
    broker = Broker()
    waker = Waker(broker.publish)
    returned = threading.Event()

    def commits() -> None:
        for _ in range(100):
            waker(frozenset({Step.PING}))
        returned.set()

    threading.Thread(target=commits, daemon=True).start()
    assert returned.wait(60), "a commit waited for the broker"
    assert broker.taken == []
    broker.is_open.set()
    eventually(lambda: broker.taken[:1] == [Step.PING], "the wake-up, once the broker is back")


def test_a_publish_that_raises_does_not_end_publishing() -> None:
    taken: list[Step] = []

    def publish(step: Step) -> None:
        if step is Step.CLOSE:
            raise ConnectionError("no broker")
        taken.append(step)

    waker = Waker(publish)
    waker(frozenset({Step.CLOSE, Step.OPEN}))
    eventually(lambda: taken == [Step.OPEN], "the other wake-up of the same commit")
    waker(frozenset({Step.PING}))
    eventually(lambda: taken == [Step.OPEN, Step.PING], "the next one")
