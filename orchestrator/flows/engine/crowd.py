"""Bound the threads of this process that wait for locked accounts, so that one account does not hold them all."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

#: How many threads of a worker process may wait in the database for one account, and for all accounts together: of
#: the four that settle answers, and of those that do jobs.
OF_ANSWERS, OF_JOBS = (1, 2), (1, 6)
#: How many jobs may wait in a line of their process first, for one account and for all. They hold no lock there, and
#: some of the 24 threads always remain free. Sending a job back to the broker instead costs as much as the work itself
#: (200 creates of one account took three times as long).
LINES_OF_JOBS = (16, 18)
#: Seconds after which a job leaves its line and is retried later, so that it does not hold up a process that ends.
TURN_WITHIN = 5.0
#: Stops of one account in one transaction: its jobs, and the stops of other accounts, wait no longer than that.
STOPS_AT_ONCE = 100
#: Seconds until work that could not wait is retried.
LOOK_AGAIN = 0.5


class StopsFirst(Exception):
    """More than `STOPS_AT_ONCE` stops of this account are due: carry them out first, in transactions of their own."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"more than {STOPS_AT_ONCE} stops of account {account_id} are due and come first")
        self.account_id = account_id


class AccountBusy(Exception):
    """The account is locked, and enough threads wait for it already. Nothing was done; retry later."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"account {account_id} is locked, and enough threads wait for it already")
        self.account_id = account_id


class _WaitingThreads:
    """Threads that wait, by account; bounded for one account and in all."""

    def __init__(self, per_account: int, in_all: int) -> None:
        self._per_account, self._in_all = per_account, in_all
        self._lock = threading.Lock()
        self._of: Counter[str] = Counter()

    def __contains__(self, account_id: str) -> bool:
        with self._lock:
            return account_id in self._of

    @contextmanager
    def one_more(self, account_id: str, *, allowed: int = 0) -> Iterator[None]:
        """Count this thread as waiting. Raises AccountBusy if too many wait. `allowed`: beyond the bound of one
        account."""
        with self._lock:
            full = self._of[account_id] >= self._per_account + allowed or self._of.total() >= self._in_all
            if full:
                raise AccountBusy(account_id)
            self._of[account_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._of[account_id] -= 1
                if not self._of[account_id]:
                    del self._of[account_id]


class Crowd:
    """Threads of this process that wait for accounts. Thread-safe."""

    def __init__(
        self, per_account: int = sys.maxsize, in_all: int = sys.maxsize, lines: tuple[int, int] = (0, 0)
    ) -> None:
        """Set the bounds: how many threads wait in the database for one account and in all. `lines`: how many wait for
        their turn to do so, for one account and in all."""
        self._waiting = _WaitingThreads(per_account, in_all)
        self._lined = _WaitingThreads(*lines)
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._own = threading.local()

    def comes_to(self, account_id: str) -> None:
        """Let this thread ask for the account. Raises AccountBusy if others wait in line."""
        if account_id in self._lined and not self._has_turn(account_id):
            raise AccountBusy(account_id)

    @contextmanager
    def waits_for(self, account_id: str) -> Iterator[None]:
        """Count this thread as waiting in the database within it. Raises AccountBusy if too many wait."""
        with self._waiting.one_more(account_id, allowed=int(self._has_turn(account_id))):
            yield

    @contextmanager
    def turn(self, account_id: str) -> Iterator[None]:
        """Wait for this thread's turn, which lasts within it. The caller holds no lock meanwhile. Raises AccountBusy
        where the line is full, or too slow."""
        with self._lined.one_more(account_id):
            with self._lock:
                turn = self._turns.setdefault(account_id, threading.Lock())
            if not turn.acquire(timeout=TURN_WITHIN):
                raise AccountBusy(account_id)
            self._own.turn = account_id
            try:
                yield
            finally:
                self._own.turn = None
                turn.release()

    def _has_turn(self, account_id: str) -> bool:
        return getattr(self._own, "turn", None) == account_id
