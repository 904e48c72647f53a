"""Memory that the processes of a tree share: what is there before the forks, as long as nobody writes to it."""

import gc
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules

from orchestrator import wiring
from orchestrator.settings import Settings
from orchestrator.store.database import StoreError

#: What the kinds of work import when they begin: once here, and not once in each of them.
_LATER = (
    "aiohttp.client",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.concurrency.thread",
    "celery.app.control",
    "celery.app.events",
    "celery.events",
    "encodings.idna",
    "celery.app.log",
    "celery.fixups",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "billiard.pool",
    "certifi",
    "kombu.transport.redis",
    "orchestrator.store.core.gathering",
    "orchestrator.tasks.run_pool",
    "tenacity",
)


def prepare(settings: Settings) -> None:
    """Import what all processes need, and keep the garbage collector from writing to it. Call it before the forks."""
    import_queries()
    for name in _LATER:
        with suppress(ImportError):  # a part of a library that another release of it has elsewhere
            import_module(name)
    import_module("orchestrator.providers.http.transport").trust(None)
    _use_once(settings)
    gc.collect()
    gc.freeze()


def import_queries() -> None:
    """Import every family of queries now. When one is first used, an upgrade may have replaced its file."""
    for package in map(import_module, ("orchestrator.store.queries", "orchestrator.store.plain")):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def _use_once(settings: Settings) -> None:
    """Read the configuration and the database once, as every process does: what libraries build then is shared too."""
    wiring.read_configuration(settings)
    database = wiring.open_database(settings)
    with suppress(StoreError), database.reading() as tx:
        tx.sessions.listed(limit=1)
    database.dispose()
