"""The tokens of open streams: which of them have been revoked, or have expired, since their streams began."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

#: Seconds between two checks. One query checks the tokens of all streams of a process.
CHECKED_EVERY = 2.0


class ListeningTokens:
    """Counts the streams of each token, and remembers which tokens have ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._streams: Counter[str] = Counter()
        self._ended: frozenset[str] = frozenset()
        self._unsaid = False
        self._checked_at = clock()

    @contextmanager
    def with_stream_of(self, token_id: str | None) -> Iterator[None]:
        """Watch this token while its stream is open. None: a reader inside this process, which needs none."""
        if token_id is None:
            yield
            return
        self._streams[token_id] += 1
        try:
            yield
        finally:
            self._streams[token_id] -= 1
            if not self._streams[token_id]:
                del self._streams[token_id]

    def to_check(self) -> Collection[str]:
        """Return the tokens that have streams, once the last check is old; else none."""
        if self._clock() - self._checked_at < CHECKED_EVERY:
            return ()
        return tuple(self._streams)

    def checked(self, asked: Collection[str], valid: Collection[str]) -> None:
        """Note what a check has found."""
        self._checked_at = self._clock()
        self._ended = frozenset(asked) - frozenset(valid)
        self._unsaid = bool(self._ended)

    def take_news(self) -> bool:
        """Return once after a check whether it found tokens that have ended."""
        unsaid, self._unsaid = self._unsaid, False
        return unsaid

    def has_ended(self, token_id: str | None) -> bool:
        """Return whether the streams of this token must end."""
        return token_id in self._ended
