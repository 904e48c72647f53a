"""The metrics for Prometheus. Counters live in each process and are added up; `gauges` has the rest.

Import this only after `shared.prepare`: the library decides at its import whether processes share."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from orchestrator.observability.gauges import StoreCollector, StoreReading

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAGS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)

PINGS = Counter("orchestrator_pings", "Pings by verdict (docs/providers.md).", ["provider", "verdict"])
PING_SECONDS = Histogram(
    "orchestrator_ping_seconds", "How long a ping took, whatever its verdict.", ["provider"], buckets=_SECONDS
)
STOPS = Counter("orchestrator_stops", "Sessions that ended, by reason.", ["reason"])
JOBS = Counter("orchestrator_jobs", "Jobs by outcome: ok, or the error's code.", ["name", "outcome"])
RECONCILED = Counter(
    "orchestrator_reconciled",
    "What differences between lists of providers and rows led to: adopt, close, end.",
    ["provider", "kind"],
)
STORE_RETRIES = Counter(
    "orchestrator_store_retries",
    "Transactions that were retried: deadlocks, lost races and the like.",
    ["cause"],
)
STORE_GIVEN_UP = Counter(
    "orchestrator_store_given_up",
    "Transactions that failed on the last attempt too; the job or wake-up repeats them.",
    ["cause"],
)
LOCAL_FAULTS = Counter(
    "orchestrator_local_faults", "Calls that failed on this machine, before a byte left it.", ["kind"]
)
MESSAGES_REFUSED = Counter(
    "orchestrator_messages_refused", "Messages that could not be carried out and were parked.", ["queue"]
)
MESSAGES_DROPPED = Counter(
    "orchestrator_messages_dropped", "Parked messages that were dropped because 1,000 newer ones came."
)
WEBHOOK_OUTCOMES = ARRIVED, FAILED = "arrived", "failed"
WEBHOOKS = Counter(
    "orchestrator_webhook_deliveries", "Events sent to webhooks: arrived or failed.", ["webhook", "outcome"]
)
CLOSE_LAG = Histogram(
    "orchestrator_close_lag_seconds",
    "Time from the instant of a stop to the proof of the close.",
    buckets=_LAGS,
)

#: Every metric that is counted in each process.
COUNTED: Sequence[Counter | Histogram] = (
    PINGS,
    PING_SECONDS,
    STOPS,
    CLOSE_LAG,
    JOBS,
    RECONCILED,
    STORE_RETRIES,
    STORE_GIVEN_UP,
    LOCAL_FAULTS,
    MESSAGES_REFUSED,
    MESSAGES_DROPPED,
    WEBHOOKS,
)


def registry(read: Callable[[], StoreReading | None], *, shared: bool) -> CollectorRegistry:
    """Return what is served. `read`: reads the store; `shared`: add up the counters of every process."""
    everything = CollectorRegistry()
    if shared:
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
    else:
        for metric in COUNTED:
            everything.register(metric)
    everything.register(StoreCollector(read))
    return everything
