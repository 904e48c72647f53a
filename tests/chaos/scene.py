"""The installation after injected faults: at rest, as causes of alerts need it, with sessions at providers to fail."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis import Redis
from sqlalchemy import text

from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.tasks.wake_ups import WAKE_UPS, queue_of
from tests.chaos.cluster import Cluster
from tests.chaos.monkey import Monkey
from tests.chaos.prometheus import Prometheus
from tests.chaos.receivers import Receivers
from tests.chaos.upstreams import SESSIONS, UPSTREAMS
from tests.processes.judging import closing_database
from tests.processes.platform import Running

ACCOUNT = "alarmed"
#: An account that no process works for: one that is stopped holds the locks that it has.
UNTOUCHED = "untouched"
#: Seconds that the sessions may last: longer than the run.
LASTS = 3000


@dataclass
class Scene:
    """What causes break and repair. Times in rows are moved back where hours or days would have to pass."""

    cluster: Cluster
    monkey: Monkey
    hooks: Receivers
    prometheus: Prometheus
    sessions: dict[str, list[str]]
    """Model → its sessions that run."""

    def fault(self, name: str, upstream: str, **where: Any) -> None:
        """Let a simulated platform fail from now on."""
        self.cluster.platform.simulator.fault(name, upstream=upstream, **where)

    def create(self, model_id: str, seconds: int = LASTS, account_id: str = ACCOUNT) -> str:
        """Return a new session. A provider that is to fail serves one model, of its own name."""
        stop = {"max_duration_seconds": seconds}
        return self.cluster.platform.create_session(model_id, account_id=account_id, stop=stop)

    def change(self, statement: str, **values: Any) -> None:
        """Change rows by hand."""
        with closing_database(self.cluster.database_url) as database, database.engine.begin() as connection:
            connection.execute(text(statement), values)

    def found(self, statement: str) -> Any:
        """Return the first column of the first row; None without one."""
        with closing_database(self.cluster.database_url) as database, database.engine.begin() as connection:
            return connection.execute(text(statement)).scalar()

    def command(self, *arguments: str) -> None:
        """Run `orchestrator ARGUMENTS` to its end."""
        assert self.cluster.platform.start(*arguments).wait() == 0, arguments

    def wake(self, tick: str) -> None:
        """Send a wake-up of upkeep, which a scheduler sends once in a minute or an hour."""
        name = f"orchestrator.tick.{tick}"
        self.cluster.platform.jobs.wake(name, queue_of(WAKE_UPS[name].kind))

    def put_message(self, entry: bytes) -> None:
        """Put a raw entry into the queue of jobs."""
        with Redis(port=self.cluster.valkey.port, socket_timeout=5) as redis:
            redis.lpush("orchestrator.jobs", entry)

    def running(self, kind: str) -> list[Running]:
        """Return the workers, or the schedulers, that run."""
        return self.monkey.running(kind)

    def processes_of(self, kind: str) -> set[int]:
        """Return the processes of this kind of work that live."""
        living = {pid for worker in self.running("worker") for pid in worker.children()}
        with self.cluster.platform.database.reading() as tx:
            return living & {one.pid for one in tx.workers.listed() if one.kind == kind}

    def put_webhook(self, name: str, kind: str) -> None:
        """Send events of our account to a receiver of this kind."""
        url = f"{self.hooks.url}/{kind}"
        given = WebhookConfiguration(url=url, secret_refs=("env:CHAOS_HOOK",), account_ids=(ACCOUNT,))
        put_webhook(self.cluster.platform.database, name, given, active=True)

    @contextmanager
    def paused(self, pids: Iterable[int]) -> Iterator[None]:
        """Let these processes stand still. One that has ended meanwhile is left out."""
        stopped = list(pids)
        _send(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            _send(stopped, signal.SIGCONT)

    def forget_deaths(self) -> None:
        """Let ten minutes pass for processes that have died, and two for faults of this machine."""
        self.change(
            "UPDATE workers SET seen_at = seen_at - interval '10 minutes' WHERE seen_at < now() - interval '15 seconds'"
        )
        self.change("UPDATE installation_alarms SET seen_at = seen_at - interval '10 minutes'")

    def let_keys_be_tried(self) -> None:
        """Let the minute pass after which a paused key is tried again."""
        self.change(
            "UPDATE credentials SET paused_since = paused_since - interval '1 minute', checked_at = NULL"
        )

    def forget_orphans(self) -> None:
        """Let the time pass for which sessions of opens with an unknown outcome may run."""
        self.change("UPDATE placements SET sent_at = sent_at - interval '1 day' WHERE possible_orphans")


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def settle_after_faults(cluster: Cluster, monkey: Monkey, hooks: Receivers, prometheus: Prometheus) -> Scene:
    """Set every clock right, end the webhooks that never take an event, and start a session at each provider."""
    scene = Scene(cluster, monkey, hooks, prometheus, {})
    for clock in monkey.clocks.values():
        clock.is_off(0)
    scene.change("UPDATE webhooks SET active = false WHERE name <> 'good'")
    scene.forget_deaths()
    scene.forget_orphans()
    for account_id in (ACCOUNT, UNTOUCHED):
        cluster.platform.open_account(account_id, plan="contract", amount="1000")
    for provider, upstream in UPSTREAMS.items():
        cluster.platform.put_model(provider, {provider: upstream["models"][0]})
    for model_id, many in SESSIONS.items():
        scene.sessions[model_id] = [scene.create(model_id) for _ in range(many)]
    cluster.platform.until_running(*(one for ids in scene.sessions.values() for one in ids))
    return scene
