"""The history of each session, read from the stream of events as any other service would."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import RedisError

from orchestrator.cli.demo.checks import Deadline
from orchestrator.client.stream import EventStream, connect

STATES = ("queued", "starting", "running", "stopping", "stopped", "failed")
OVER = ("stopped", "failed")
#: Seconds between two looks while waiting: the play may have been called off.
_LOOK = 0.25


@dataclass(frozen=True, slots=True)
class News:
    """One event about a session."""

    at: datetime
    kind: str
    data: dict[str, Any]

    @property
    def subject(self) -> str:
        return f"{self.data['account_id']}/{self.data['name']}"


@dataclass(slots=True)
class Story:
    """A session's history so far, by its events."""

    states: list[str] = field(default_factory=list)
    reason: str | None = None
    """Why it stopped, once it is over."""

    @property
    def is_over(self) -> bool:
        return bool(self.states) and self.states[-1] in OVER

    def add(self, news: News) -> None:
        if news.kind in STATES:
            self.states.append(news.kind)
        if news.kind in OVER:
            self.reason = news.data["stop_reason"]


class Watch:
    """Follows the stream in a thread of its own, from the first event on."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._known: set[str] = set()
        self._stories: dict[str, Story] = {}
        self._news: list[News] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)

    @classmethod
    def of(cls, broker_url: str) -> "Watch":
        """Begin to follow the stream behind this broker."""
        stream = connect(broker_url)
        assert stream is not None  # the embedded broker speaks Redis
        watch = cls(stream)
        watch.start()
        return watch

    def start(self) -> None:
        self._thread.start()

    def wait(self, session_id: str, enough: Callable[[Story], bool], deadline: Deadline) -> Story:
        """Return the session's history once it is long enough, or as it is at the deadline."""
        with self._changed:
            while not enough(self._story(session_id)) and deadline.left() > 0:
                self._changed.wait(min(_LOOK, deadline.left()))
            story = self._story(session_id)
            return Story(list(story.states), story.reason)

    def news(self) -> Sequence[News]:
        """Return the events since the last call."""
        with self._changed:
            news, self._news = self._news, []
        return news

    def take(self, event: dict[str, Any]) -> None:
        """Take in one event. Ignore an event that is already known, for events may be delivered twice."""
        if event["id"] in self._known or not event["type"].startswith("orchestrator.session."):
            return
        news = News(datetime.fromisoformat(event["time"]), event["type"].rpartition(".")[2], event["data"])
        with self._changed:
            self._known.add(event["id"])
            self._story(event["subject"]).add(news)
            self._news.append(news)
            self._changed.notify_all()

    def _story(self, session_id: str) -> Story:
        return self._stories.setdefault(session_id, Story())

    def _follow(self) -> None:
        try:
            for event in self._stream.follow("0"):
                self.take(event)
        except RedisError:
            return  # the platform has left; a waiter sees that nothing comes
