"""The only module that builds things: configuration, drivers, the store, and the services of flows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from orchestrator.flows.engine.canary import Canary
from orchestrator.flows.engine.crowd import Crowd
from orchestrator.flows.engine.loop import EventLoop
from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.services import jitter as random_jitter
from orchestrator.flows.engine.slots import TOTALS, Slots
from orchestrator.flows.jobs import catalog_file
from orchestrator.flows.operations.webhook_sender import WebhookSender
from orchestrator.observability import metrics
from orchestrator.providers import registry
from orchestrator.providers.chat.conversation import Conversation
from orchestrator.providers.checks import credential_faults, one_key, timer_faults, witness_faults
from orchestrator.providers.http.client import ClientOptions, HttpClient
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.secrets import Redactor
from orchestrator.rules.installation.descriptors import calls_that_fit
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.addresses import Reach
from orchestrator.settings import (
    Configuration,
    KnownDriver,
    ProviderConfiguration,
    SecretStore,
    Settings,
    load_configuration,
)
from orchestrator.settings.file_limit import file_limit
from orchestrator.store.core.stopwatch import Stopwatch
from orchestrator.store.database import Database
from orchestrator.store.queries.clock import Clock

#: The public internet and nothing else.
PUBLIC = Reach()


def read_configuration(settings: Settings, *, require_secrets: bool = False) -> Configuration:
    """Read `orchestrator.toml`, checked with the drivers at hand, with its models and accounts. Raises
    ConfigurationError."""
    secrets = secret_store(settings)
    return load_configuration(
        settings.config,
        required=settings.config_is_explicit,
        known_drivers=known_drivers(),
        secrets=secrets,
        require_secrets=require_secrets,
        also_check=lambda document, read: [
            *catalog_file.faults_of(document, read),
            *one_key.faults_of(read, secrets),
            *credential_faults.faults_of(read),
            *timer_faults.faults_of(read),
            *witness_faults.faults_of(read),
        ],
    )


def known_drivers() -> Mapping[str, KnownDriver]:
    """Return what the configuration is checked against, of every registered driver."""
    return {
        name: KnownDriver(
            option_faults=partial(registry.option_faults, name), needs_base_url=kind.needs_base_url
        )
        for name, kind in registry.DRIVERS.items()
    }


def secret_store(settings: Settings) -> SecretStore:
    """Return the store of secrets; its fingerprints are keyed where the operator set a key."""
    key = settings.fingerprint_key
    return SecretStore(fingerprint_key=key.get_secret_value() if key else None)


def open_database(
    settings: Settings,
    *,
    pool_size: int = 5,
    clock: Clock | None = None,
    stopwatch: Stopwatch | None = None,
    keeps_time: bool = False,
    gives_up_after: float | None = None,
) -> Database:
    """Return the store; it connects with its first use."""
    return Database(
        settings.database_url,
        pool_size=pool_size,
        clock=clock,
        stopwatch=stopwatch,
        keeps_time=keeps_time,
        gives_up_after=gives_up_after,
    )


@dataclass(frozen=True, kw_only=True)
class Built:
    """Services, and what must be given back when they are no longer needed."""

    services: Services
    http: HttpClient
    webhooks: WebhookSender

    def close(self) -> None:
        """Cancel what runs, then close connections."""
        self.services.loop.run(self.http.aclose())
        self.services.loop.stop()
        self.services.database.dispose()


def _slots(configuration: Configuration) -> Slots:
    most = {name: provider.max_in_flight for name, provider in configuration.providers.items()}
    return Slots(most, most=calls_that_fit(file_limit()))


def build(
    settings: Settings,
    configuration: Configuration,
    *,
    wake: Callable[[frozenset[Step]], None] = lambda _steps: None,
    pool_size: int = 5,
    clock: Clock | None = None,
    stopwatch: Stopwatch | None = None,
    keeps_time: bool = False,
    jitter: Callable[[], float] | None = None,
    database: Database | None = None,
    http: HttpClient | None = None,
    loop: EventLoop | None = None,
    secrets: SecretStore | None = None,
    crowd: Crowd | None = None,
) -> Built:
    """Build everything that flows need in one process. Call it after the fork. Objects that are passed in are not
    built."""
    database = database or open_database(
        settings, pool_size=pool_size, clock=clock, stopwatch=stopwatch, keeps_time=keeps_time
    )
    _listen(database, wake)
    secrets = secrets or secret_store(settings)
    http = http or _client(configuration, secrets)
    services = Services(
        database=database,
        config=configuration,
        drivers=_drivers(configuration, http),
        secrets=secrets,
        loop=loop or EventLoop(),
        slots=_slots(configuration),
        wake=wake,
        crowd=crowd or Crowd(),
        jitter=jitter or random_jitter,
        canary=Canary(http, configuration.canary_url) if configuration.canary_url else None,
        conversation=Conversation(http, configuration.attach_reach),
    )
    sender = WebhookSender(http, secrets, configuration.attach_networks)
    return Built(services=services, http=http, webhooks=sender)


def _drivers(configuration: Configuration, http: HttpClient) -> Mapping[str, Driver]:
    reach = configuration.attach_reach
    return {name: build_driver(one, http, reach) for name, one in configuration.providers.items()}


def _client(configuration: Configuration, secrets: SecretStore) -> HttpClient:
    """Return the one client of the process; no secret leaves it in a message."""
    options = ClientOptions(max_connections=sum(TOTALS.values()))
    resolver = WatchedResolver(names=_hosts(configuration))
    return HttpClient(options, redactor=Redactor(secrets.resolved), resolver=resolver)


def _listen(database: Database, wake: Callable[[frozenset[Step]], None]) -> None:
    """Wake the steps that each commit makes due, and count what the database runs again."""
    database.on_commit = wake
    database.on_retry = lambda cause: metrics.STORE_RETRIES.labels(cause).inc()
    database.on_giving_up = lambda cause: metrics.STORE_GIVEN_UP.labels(cause).inc()


def _hosts(configuration: Configuration) -> list[str]:
    """Return the hosts of the configured platforms."""
    urls = [provider.base_url for provider in configuration.providers.values()] + [
        configuration.canary_url or ""
    ]
    return [host for host in (urlsplit(url).hostname for url in urls if url) if host is not None]


def build_driver(provider: ProviderConfiguration, http: HttpClient, reach: Reach = PUBLIC) -> Driver:
    """Build the driver of one configured platform. Endpoints that come from jobs are asked only within `reach`."""
    options = {
        "base_url": provider.base_url,
        "open_timeout_seconds": provider.policy.open_timeout_seconds,
        "close_timeout_seconds": provider.policy.close_timeout_seconds,
        **provider.options,
    }
    attaches = registry.card(provider.driver, options).lifecycle.attaches
    return registry.build(provider.name, provider.driver, options, http.checked(reach) if attaches else http)
