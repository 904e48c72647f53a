"""Everything of one run: servers, proxies before them, the simulated platforms, two workers, two schedulers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from orchestrator.rules.states import State
from tests.chaos import servers
from tests.chaos.listener import Listener
from tests.chaos.load import Load
from tests.chaos.proxy import Proxy
from tests.chaos.receivers import Receivers
from tests.chaos.upstreams import CONFIGURED, UPSTREAMS
from tests.processes.judging import closing_database, judged, moves, wait_for_rest
from tests.processes.nursery import Nursery
from tests.processes.platform import Platform, morpheus, openai
from tests.receiver import SECRET
from tests.simulation.evidence import Evidence
from tests.waiting import free_port

#: Model → how often it is asked for. Two keys at the gateway: some must wait.
MODELS = {"llama": 3, "moral": 4, "instance": 2, "roam": 2}
ACCOUNTS = ["acme", "bolt", "corp", "tiny"]
#: Seconds until everything is quiet again after the last trouble, on a busy machine.
QUIET_WITHIN = 420.0
#: From when to when.
Span = tuple[datetime, datetime]


@dataclass
class Cluster:
    """The parts of a run that a test may read and break."""

    platform: Platform
    valkey: servers.Valkey
    postgres: servers.BreakablePostgres
    to_database: Proxy
    to_broker: Proxy
    to_platforms: Proxy
    database_url: str
    listener: Listener

    def open_for_business(self) -> None:
        """Put accounts and models; this also proves that jobs are taken."""
        for account_id in ACCOUNTS:
            self.platform.open_account(account_id, plan="payg" if account_id == "tiny" else "contract")
        served = {
            "llama": {"alpha": "llama-3"},
            "moral": {"morph": "moral-1"},
            "instance": {"sest": "llama-3"},
            "roam": {"morph": "moral-1", "alpha": "llama-3"},
        }
        for model_id, names in served.items():
            self.platform.put_model(model_id, names)

    def send_events_to(self, receivers: Receivers) -> None:
        """Configure a webhook for each of these; before the first worker starts."""
        self.platform.env["CHAOS_HOOK"] = SECRET
        with (self.platform.directory / "orchestrator.toml").open("a") as file:
            file.write("\n" + receivers.configuration())

    def ask_a_canary(self) -> None:
        """Configure one on the way to the platforms; before the first worker starts."""
        with (self.platform.directory / "orchestrator.toml").open("a") as file:
            file.write(f'\n[network]\ncanary_url = "http://127.0.0.1:{self.to_platforms.port}/"\n')

    def serve_metrics(self) -> int:
        """Let every process serve its metrics; return the first of their ports."""
        port = free_port()
        self.platform.env["ORCHESTRATOR_METRICS_PORT"] = str(port)
        return port

    def load(self, *, clients: int, seed: int, wait_limit: float) -> Load:
        """Start clients that speak to the broker alone, and directly."""
        return Load(self.valkey.url, MODELS, ACCOUNTS, clients=clients, seed=seed, wait_limit=wait_limit)

    def queued(self) -> list[str]:
        """Return queued sessions, newest first, so that none starts while the others are closed."""
        of_all = [one for account_id in ACCOUNTS for one in self.platform.sessions(account_id)]
        waiting = [one for one in of_all if one.state is State.QUEUED]
        return [one.id for one in sorted(waiting, key=lambda one: one.created_at, reverse=True)]

    def until_quiet(self) -> None:
        """Wait until every session is over, every placement has ended, and every event is delivered."""
        wait_for_rest(lambda: moves(self.platform, ACCOUNTS), QUIET_WITHIN)

    def evidence(
        self,
        load: Load,
        troubles: Sequence[Span] = (),
        *,
        flushes: Sequence[datetime] = (),
    ) -> Evidence:
        """Return the platforms' logs, the events that a reader received, and the rows as a new connection sees them."""
        self.listener.stop()
        with closing_database(self.database_url) as database:
            swept_away = self.listener.swept_away(database, flushes)
        heard = self.listener.heard
        return judged(self.platform, load, troubles, delivered=heard, swept_away=swept_away)


@contextmanager
def started_cluster(directory: Path, nursery: Nursery) -> Iterator[Cluster]:
    """Start everything; afterwards remove all of it but its directory, where the logs are."""
    with ExitStack() as stack:
        postgres = stack.enter_context(servers.postgres())
        database_url = stack.enter_context(postgres.database())
        valkey = servers.Valkey(directory / "valkey", free_port())
        stack.callback(valkey.kill)
        platform = stack.enter_context(
            Platform(directory / "platform", nursery, database_url=database_url, broker_url=valkey.url)
        )
        sesterce = {"kind": "sesterce", "keys": ["sk-sest"], "models": ["llama-3"]}
        simulator = platform.simulate(
            alpha=openai("sk-alpha"), morph=morpheus("sk-m1", "sk-m2", "sk-m3"), sest=sesterce, **UPSTREAMS
        )
        proxies = [
            Proxy(postgres.socket), Proxy(("127.0.0.1", valkey.port)), Proxy(_address(simulator.url))
        ]  # fmt: skip
        for proxy in proxies:
            stack.callback(proxy.close)
        to_database, to_broker, to_platforms = proxies
        _configure(platform, to_platforms.port)
        name = urlsplit(database_url).path
        platform.env["ORCHESTRATOR_DATABASE_URL"] = (
            f"postgresql+psycopg://postgres@127.0.0.1:{to_database.port}{name}"
        )
        platform.env["ORCHESTRATOR_BROKER_URL"] = f"redis://127.0.0.1:{to_broker.port}/0"
        listener = Listener(valkey.url)
        listener.start()
        stack.callback(listener.close)
        yield Cluster(
            platform, valkey, postgres, to_database, to_broker, to_platforms, database_url, listener
        )


def _configure(platform: Platform, port: int) -> None:
    """Configure every platform through the proxy."""
    urls = {
        upstream["name"]: urlunsplit(urlsplit(upstream["base_url"])._replace(netloc=f"127.0.0.1:{port}"))
        for upstream in platform.simulator.get("upstreams")
    }
    instance = {"on_open": "create", "on_close": "delete", "instance": {"hardwareName": "l40s"}}
    platform.configure(
        plans={"payg": {"max_sessions": 100_000}},
        alpha={"base_url": urls["alpha"]},
        morph={"base_url": urls["morph"], "close_retry_seconds": 0.05, "opens_settle_within_seconds": 0},
        sest={"base_url": urls["sest"], "control_url": urls["sest"], "poll_seconds": 0.1, **instance},
        **{name: {"base_url": urls[name], **CONFIGURED.get(name, {})} for name in UPSTREAMS},
    )


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
