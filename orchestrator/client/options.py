"""The part of Celery's configuration that clients and workers share. The reasons stand beside the values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu import Queue

JOBS_QUEUE = "orchestrator.jobs"
#: A job that does nothing: its answer proves the way there and back.
NOOP = "orchestrator.noop"

#: Seconds after which an unacknowledged message goes to another worker: over twice the longest task.
VISIBILITY_TIMEOUT = 1200


def celery_options(
    queues: Sequence[str] = (JOBS_QUEUE,), *, sentinel_master: str | None = None
) -> dict[str, Any]:
    """Return keyword arguments for `app.conf.update(…)`; `queues` are those that this process sends to or serves."""
    return {
        **_content(),
        **_connection(),
        "broker_transport_options": _transport(sentinel_master),
        "result_backend_transport_options": _result_transport(sentinel_master),
        "task_queues": [direct_queue(name) for name in queues],
        "task_default_queue": queues[0],
        "task_create_missing_queues": False,  # a misspelt queue is an error, not a place where jobs vanish
    }


def direct_queue(name: str) -> "Queue":
    """Return a queue, declared exactly as any Celery app declares a queue by its name.

    Its exchange is direct: messages still arrive after the broker lost everything; topic exchanges discard them
    silently."""
    from kombu import Exchange, Queue

    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def _content() -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "result_expires": 86400,
        "enable_utc": True,
        "timezone": "UTC",
    }


def _connection() -> dict[str, Any]:
    """Return timeouts of a few seconds, so that a broker that hangs costs seconds and not minutes."""
    return {
        "broker_connection_timeout": 4,
        "broker_pool_acquire_timeout": 5,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # a failover must not make workers exit
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0.1,
            "interval_step": 0.1,
            "interval_max": 0.4,
        },
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 5,
        "redis_backend_health_check_interval": 5,
    }


def _transport(sentinel_master: str | None) -> dict[str, Any]:
    """Return the options for Redis; AMQP ignores them. `retry_on_timeout` is left out: it would publish twice."""
    options: dict[str, Any] = {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }
    return options | ({"master_name": sentinel_master} if sentinel_master else {})


def _result_transport(sentinel_master: str | None) -> dict[str, Any]:
    """Return a short retry: the inbox keeps the outcome as well, so a job need not wait twenty seconds for this
    copy."""
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
    return {"retry_policy": policy} | ({"master_name": sentinel_master} if sentinel_master else {})
