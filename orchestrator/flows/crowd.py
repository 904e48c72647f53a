"""How many threads of this process wait for accounts that others hold: one account must not hold them all."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

#: So many threads of a worker process may wait for one account, and for all accounts together: of the four that settle
#: answers, and of the eight that do jobs. A burst of jobs of one account goes through those that wait, in turns.
OF_ANSWERS, OF_JOBS = (1, 2), (4, 6)
#: Seconds until what could not wait is tried again.
LOOK_AGAIN = 0.5


class AccountBusy(Exception):
    """Somebody holds this account, and enough threads wait for it: nothing was done, and it is to be done later."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"account {account_id} is held by others, and enough threads wait for it")
        self.account_id = account_id


class Crowd:
    """Threads of this process that wait for accounts. Thread-safe."""

    def __init__(self, per_account: int = sys.maxsize, in_all: int = sys.maxsize) -> None:
        self._per_account, self._in_all = per_account, in_all
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def waits_for(self, account_id: str) -> Iterator[None]:
        """Within it, this thread waits. Raises AccountBusy where too many do."""
        with self._lock:
            if self._waiting[account_id] >= self._per_account or self._waiting.total() >= self._in_all:
                raise AccountBusy(account_id)
            self._waiting[account_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[account_id] -= 1
                if not self._waiting[account_id]:
                    del self._waiting[account_id]
