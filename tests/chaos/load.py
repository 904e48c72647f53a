"""Clients that create, close, credit and report interactions; without an answer they ask again under the same id."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis import RedisError

from tests.processes.platform import Jobs
from tests.waiting import Unseen

Outcome = Mapping[str, Any]
#: Errors of a client with a broker that is down; AttributeError: where kombu publishes on a channel that it has closed.
BROKER_DOWN = (RedisError, KombuError, CeleryError, OSError, AttributeError)
#: Seconds after which a client gives up its job.
GIVES_UP = 600.0
#: How often each is asked for.
WEIGHTS = {"create": 6, "close": 3, "interactions": 3, "credit": 1}


class Load:
    """A few clients, each with one job under way at a time."""

    def __init__(
        self,
        broker_url: str,
        models: Mapping[str, int],
        accounts: list[str],
        *,
        clients: int,
        seed: int,
        wait_limit: float,
    ) -> None:
        """`models`: model → how often it is chosen. `wait_limit`: seconds until a client asks again."""
        self._wait_limit = wait_limit
        self._broker_url = broker_url
        self._models = models
        self._accounts = accounts
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._live: list[str] = []
        self.answers: dict[str, list[Outcome]] = {}
        """Task id → the outcomes that a client received; one in ten asks again for an outcome that it has."""
        self.asked_again = 0
        self.outcomes: Counter[str] = Counter()
        self._failed: list[Exception] = []
        self._clients = [
            threading.Thread(target=self._guarded, args=(n, random.Random(f"{seed}-{n}")), daemon=True)
            for n in range(clients)
        ]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        """Start no new jobs; return once each job has its outcome."""
        self._over.set()
        for client in self._clients:
            client.join(GIVES_UP)
            assert not client.is_alive(), "a client waits for an outcome in vain"
        if self._failed:
            raise ExceptionGroup("clients that went on no further", self._failed)

    def close_all(self, session_ids: Iterable[str]) -> None:
        """Close these in one more client."""
        jobs = Jobs(self._broker_url)
        for n, session_id in enumerate(session_ids):
            self._ask(jobs, f"last-{n}", "session.close", {"session_id": session_id}, again=False)
        jobs.close()

    @property
    def jobs(self) -> int:
        return len(self.answers)

    def _guarded(self, number: int, rng: random.Random) -> None:
        try:
            self._client(number, rng)
        except Exception as error:  # noqa: BLE001  (it is raised where the load is stopped)
            error.add_note(f"client {number} at {datetime.now(UTC):%H:%M:%S}")
            self._failed.append(error)

    def _client(self, number: int, rng: random.Random) -> None:
        jobs = Jobs(self._broker_url)
        for n in range(1_000_000):
            if self._over.is_set():
                break
            kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            act: Callable[[random.Random], tuple[str, dict[str, Any]] | None] = getattr(self, f"_{kind}")
            job = act(rng)
            if job is not None:
                self._ask(jobs, f"client-{number}-{n}", *job, again=rng.random() < 0.1)
            time.sleep(rng.uniform(0.1, 0.6))
        jobs.close()

    def _create(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        model = rng.choices(list(self._models), list(self._models.values()))[0]
        stop = {"max_duration_seconds": rng.randint(5, 40)}
        if rng.random() < 0.3:
            stop["max_interactions"] = rng.randint(1, 8)
        asked = {"account_id": rng.choice(self._accounts), "model_id": model, "stop": stop}
        return "session.create", {**asked, "on_quota": rng.choice(["queue", "reject"])}

    def _close(self, rng: random.Random) -> tuple[str, dict[str, Any]] | None:
        with self._lock:
            if not self._live:
                return None
            session_id = self._live.pop(rng.randrange(len(self._live)))
        return "session.close", {"session_id": session_id}

    def _interactions(self, rng: random.Random) -> tuple[str, dict[str, Any]] | None:
        with self._lock:
            some = rng.sample(self._live, min(3, len(self._live)))
        batch = [{"session_id": session_id, "count": rng.randint(1, 3)} for session_id in some]
        return ("session.record_interactions", {"batch": batch}) if batch else None

    def _credit(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        key = f"credit-{rng.getrandbits(64):x}"
        job = {"account_id": rng.choice(self._accounts), "amount": "0.50", "currency": "USD", "key": key}
        return "account.credit", job

    def _ask(self, jobs: Jobs, task_id: str, name: str, kwargs: dict[str, Any], *, again: bool) -> None:
        with self._lock:
            reported = self.answers.setdefault(task_id, [])
        outcome = self._outcome(jobs, task_id, name, kwargs)
        reported.append(outcome)
        with self._lock:
            self.outcomes["ok" if outcome["ok"] else outcome["error"]["code"]] += 1
            if name == "session.create" and outcome["ok"]:
                self._live.append(outcome["result"]["id"])
        if again:
            self._forget(jobs, task_id)
            reported.append(self._outcome(jobs, task_id, name, kwargs))

    def _outcome(self, jobs: Jobs, task_id: str, name: str, kwargs: dict[str, Any]) -> Outcome:
        give_up_at = time.monotonic() + GIVES_UP
        while time.monotonic() < give_up_at:
            try:
                jobs.send(name, task_id, **kwargs)
                return jobs.outcome(task_id, self._wait_limit)
            except Unseen:
                self.asked_again += 1
            except BROKER_DOWN:
                time.sleep(0.5)
        raise Unseen(f"no outcome of {task_id}")

    @staticmethod
    def _forget(jobs: Jobs, task_id: str) -> None:
        try:
            jobs.forget(task_id)
        except BROKER_DOWN:
            return  # its first outcome is repeated
