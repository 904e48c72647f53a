"""One way of logging: lines for people on a console, or one JSON object a line."""

import logging
import sys
from typing import Any

import structlog

#: They log URLs, or every request and every wake-up.
_QUIET = (
    "httpx",
    "httpcore",
    "aiohttp",
    "apscheduler",
    "amqp",
    "kombu",
    "alembic",
    "celery.worker.strategy",
    "celery.app.trace",
)


def configure(mode: str, *, level: int = logging.INFO, process: str = "") -> None:
    """Send every library's log through structlog to stderr. `mode`: `console` or `json`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if mode == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the pretty one shows local variables: secrets
        )
        shared.remove(structlog.processors.format_exc_info)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)
